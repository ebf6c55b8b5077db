/**
 * The window of time that a timeline shows, and where things are in it.
 *
 * Upstream: keys, wheel and brush of the timeline.
 * Downstream: `timeline`.
 * Guarantee: pure; a window never leaves the trace and is never narrower than LEAST_MS.
 */
export interface TimeView {
  readonly fromMs: number;
  readonly toMs: number;
}

export const LEAST_MS = 0.05;

export function whole(totalMs: number): TimeView {
  return { fromMs: 0, toMs: Math.max(totalMs, LEAST_MS) };
}

export function clampView(view: TimeView, totalMs: number): TimeView {
  const total = Math.max(totalMs, LEAST_MS);
  const width = Math.min(total, Math.max(LEAST_MS, view.toMs - view.fromMs));
  const fromMs = Math.min(Math.max(0, view.fromMs), total - width);
  return { fromMs, toMs: fromMs + width };
}

/** Zoom so that the instant at `share` of the width stays where it is; a factor below 1 goes closer. */
export function zoomAt(view: TimeView, factor: number, share: number, totalMs: number): TimeView {
  const width = view.toMs - view.fromMs;
  const at = view.fromMs + width * share;
  const next = Math.min(Math.max(totalMs, LEAST_MS), Math.max(LEAST_MS, width * factor));
  return clampView({ fromMs: at - next * share, toMs: at + next * (1 - share) }, totalMs);
}

export function pan(view: TimeView, shareOfWidth: number, totalMs: number): TimeView {
  const by = (view.toMs - view.fromMs) * shareOfWidth;
  return clampView({ fromMs: view.fromMs + by, toMs: view.toMs + by }, totalMs);
}

/** Move as little as needed so that a span is in sight. */
export function reveal(view: TimeView, startMs: number, endMs: number, totalMs: number): TimeView {
  if (startMs >= view.fromMs && startMs <= view.toMs) return view;
  const width = view.toMs - view.fromMs;
  const middle = (startMs + Math.min(endMs, startMs + width)) / 2;
  return clampView({ fromMs: middle - width / 2, toMs: middle + width / 2 }, totalMs);
}

/** Round instants for an axis, at most `most` of them. */
export function ticks(view: TimeView, most: number): number[] {
  const width = view.toMs - view.fromMs;
  const rough = width / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((wanted) => wanted >= rough) ?? 10 * power;
  const found: number[] = [];
  for (let number = Math.ceil(view.fromMs / step); number * step <= view.toMs; number += 1) found.push(number * step);
  return found;
}

/** Spans by lane, each lane in order of start: what is in sight is found without looking at the rest. */
export class Lanes {
  readonly #lanes: (number[] | undefined)[] = [];
  readonly #startsMs: readonly number[];
  readonly #endsMs: Float64Array;

  constructor(lane: readonly number[], startsMs: readonly number[], endsMs: Float64Array) {
    this.#startsMs = startsMs;
    this.#endsMs = endsMs;
    lane.forEach((number, index) => (this.#lanes[number] ??= []).push(index));
    for (const spans of this.#lanes) spans?.sort((left, right) => startsMs[left]! - startsMs[right]!);
  }

  get count(): number {
    return this.#lanes.length;
  }

  /** Spans of a lane that touch the view, in order. */
  *inView(lane: number, view: TimeView): Generator<number> {
    const spans = this.#lanes[lane];
    if (spans === undefined) return;
    // No two spans of a lane overlap, so ends rise with starts.
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#endsMs[spans[middle]!]! < view.fromMs) low = middle + 1;
      else high = middle;
    }
    for (let at = low; at < spans.length && this.#startsMs[spans[at]!]! <= view.toMs; at += 1) yield spans[at]!;
  }

  /** The span of a lane at an instant, with some slack for spans that are thinner than a pointer. */
  at(lane: number, ms: number, slackMs: number): number | undefined {
    let nearest: number | undefined;
    let least = slackMs;
    for (const index of this.inView(lane, { fromMs: ms - slackMs, toMs: ms + slackMs })) {
      const away = Math.max(this.#startsMs[index]! - ms, ms - this.#endsMs[index]!, 0);
      if (away <= least) {
        least = away;
        nearest = index;
      }
    }
    return nearest;
  }
}
