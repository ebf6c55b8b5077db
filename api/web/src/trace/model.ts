/**
 * A trace as columns and a tree over them: what all three views of a trace are drawn from.
 *
 * Upstream: the skeleton of the API (columns, a parent by index), and live spans merged into it.
 * Downstream: execution path, call graph, timeline.
 * Guarantee: one pass over the columns; 50,000 spans make no object each. A parent that is missing, or that would make
 * a circle, leaves its span at the top, so every span is shown exactly once.
 */

export interface SpanColumns {
  readonly spanIds: readonly string[];
  /** Index of the parent, or -1. */
  readonly parents: readonly number[];
  readonly kinds: readonly string[];
  readonly names: readonly string[];
  readonly statuses: readonly string[];
  /** Milliseconds since the start of the trace. */
  readonly startsMs: readonly number[];
  /** Null while it runs. */
  readonly durationsMs: readonly (number | null)[];
  /** Dollars of the span itself; null when unpriced or without cost. */
  readonly costsUsd: readonly (number | null)[];
  readonly tokens: readonly (number | null)[];
  readonly flags: readonly (readonly string[])[];
}

const NONE = -1;

export class TraceModel {
  readonly columns: SpanColumns;
  readonly size: number;
  readonly depths: Int32Array;
  /** Dollars and tokens of a span with everything below it. */
  readonly totalUsd: Float64Array;
  readonly totalTokens: Float64Array;
  readonly numBelow: Int32Array;
  readonly hasErrorBelow: Uint8Array;
  readonly #firstChild: Int32Array;
  readonly #nextSibling: Int32Array;
  readonly #tops: number[] = [];
  readonly #preorder: Int32Array;
  readonly #parents: Int32Array;
  readonly #indexes: Map<string, number>;

  constructor(columns: SpanColumns) {
    const size = columns.spanIds.length;
    this.columns = columns;
    this.size = size;
    this.depths = new Int32Array(size);
    this.totalUsd = new Float64Array(size);
    this.totalTokens = new Float64Array(size);
    this.numBelow = new Int32Array(size);
    this.hasErrorBelow = new Uint8Array(size);
    this.#firstChild = new Int32Array(size).fill(NONE);
    this.#nextSibling = new Int32Array(size).fill(NONE);
    this.#parents = soundParents(columns.parents, size);
    this.#indexes = new Map(columns.spanIds.map((id, index) => [id, index]));
    this.#link();
    this.#preorder = this.#walk();
    this.#total();
  }

  /** Index of a span, or -1. */
  indexOf(spanId: string): number {
    return this.#indexes.get(spanId) ?? NONE;
  }

  parentOf(index: number): number {
    return this.#parents[index] ?? NONE;
  }

  get tops(): readonly number[] {
    return this.#tops;
  }

  hasChildren(index: number): boolean {
    return this.#firstChild[index] !== NONE;
  }

  /** Children in order of start. */
  *children(index: number): Generator<number> {
    for (let child = this.#firstChild[index]!; child !== NONE; child = this.#nextSibling[child]!) yield child;
  }

  /** All spans that are visible, in the order of the tree, given which are collapsed; not to be written to. */
  visible(collapsed: ReadonlySet<number>): Int32Array {
    if (collapsed.size === 0) return this.#preorder;
    const rows = new Int32Array(this.size);
    let num = 0;
    for (let at = 0; at < this.size; at += 1) {
      const index = this.#preorder[at]!;
      rows[num++] = index;
      if (collapsed.has(index)) at += this.numBelow[index]!;
    }
    return rows.subarray(0, num);
  }

  /** The ancestors of a span, the nearest first. */
  *ancestors(index: number): Generator<number> {
    for (let parent = this.parentOf(index); parent !== NONE; parent = this.parentOf(parent)) yield parent;
  }

  #link(): void {
    // Backwards, as each is put before those linked already; of two that start together the one told first comes first.
    for (const index of backwards(this.columns.startsMs)) {
      const parent = this.#parents[index]!;
      if (parent === NONE) this.#tops.push(index);
      else {
        this.#nextSibling[index] = this.#firstChild[parent]!;
        this.#firstChild[parent] = index;
      }
    }
    this.#tops.reverse();
  }

  #total(): void {
    const { costsUsd, tokens, statuses } = this.columns;
    const preorder = this.#preorder;
    for (const index of preorder) {
      const parent = this.#parents[index]!;
      this.depths[index] = parent === NONE ? 0 : this.depths[parent]! + 1;
    }
    for (let at = preorder.length - 1; at >= 0; at -= 1) {
      const index = preorder[at]!;
      this.totalUsd[index]! += costsUsd[index] ?? 0;
      this.totalTokens[index]! += tokens[index] ?? 0;
      const parent = this.#parents[index]!;
      if (parent === NONE) continue;
      this.totalUsd[parent]! += this.totalUsd[index]!;
      this.totalTokens[parent]! += this.totalTokens[index]!;
      this.numBelow[parent]! += this.numBelow[index]! + 1;
      if (this.hasErrorBelow[index] === 1 || statuses[index] === "error") this.hasErrorBelow[parent] = 1;
    }
  }

  /** Every span behind its parent, siblings in order of start; by links alone, as a chain may be thousands deep. */
  #walk(): Int32Array {
    const rows = new Int32Array(this.size);
    let num = 0;
    for (const top of this.#tops) {
      let index = top;
      for (;;) {
        rows[num++] = index;
        const child = this.#firstChild[index]!;
        if (child !== NONE) {
          index = child;
          continue;
        }
        while (index !== top && this.#nextSibling[index] === NONE) index = this.#parents[index]!;
        if (index === top) break;
        index = this.#nextSibling[index]!;
      }
    }
    return rows;
  }
}

/** Indexes by start, the last first; the skeleton tells spans in order, and then there is nothing to sort. */
function backwards(startsMs: readonly number[]): Int32Array {
  const order = Int32Array.from({ length: startsMs.length }, (_, index) => startsMs.length - 1 - index);
  const isSorted = startsMs.every((startMs, index) => index === 0 || startsMs[index - 1]! <= startMs);
  return isSorted ? order : order.sort((left, right) => startsMs[right]! - startsMs[left]! || right - left);
}

/** Parents without circles and without indexes that name nothing. */
function soundParents(parents: readonly number[], size: number): Int32Array {
  const sound = new Int32Array(size);
  for (let index = 0; index < size; index += 1) {
    const parent = parents[index]!;
    sound[index] = Number.isInteger(parent) && parent >= 0 && parent < size ? parent : NONE;
  }
  // 0 unknown, else the number of the walk that came by: meeting one's own walk again is a circle.
  const walks = new Int32Array(size);
  for (let start = 0; start < size; start += 1) {
    for (let index = start; index !== NONE && walks[index] === 0; index = sound[index]!) {
      walks[index] = start + 1;
      const parent = sound[index]!;
      if (parent !== NONE && walks[parent] === start + 1) sound[index] = NONE;
    }
  }
  return sound;
}
