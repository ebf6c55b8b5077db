/**
 * What happens now, as the API streams it.
 *
 * Upstream: GET /v1/live.
 * Downstream: the overview and the page of a running trace.
 * Guarantee: a stream that ends, or that has gone silent, is taken up behind its last event; while it cannot be had, the
 * pages still ask again by themselves. Events come in batches, so that a busy stream costs a page one drawing per BATCH_MS.
 */
import { useEffect, useEffectEvent } from "react";

import { EventParser, readEvents, type ServerEvent } from "../kit/events";

const BATCH_MS = 250;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
// The API says every ten seconds that it is there; a machine that slept, or a proxy, may have cut the line unseen.
const SILENT_MS = 35_000;

export interface LiveFilter {
  readonly traceId?: string;
  readonly kinds: readonly ("span" | "trace" | "alert" | "verdict")[];
}

/** Listen as long as the page is shown and `isOn`; `onEvents` gets what came since the last time, in order. */
export function useLive({ traceId, kinds }: LiveFilter, isOn: boolean, onEvents: (events: readonly ServerEvent[]) => void): void {
  const tell = useEffectEvent(onEvents);
  const asked = kinds.join(" ");
  useEffect(() => {
    if (!isOn) return;
    const stopping = new AbortController();
    const query = new URLSearchParams(asked.split(" ").map((kind) => ["kind", kind]));
    if (traceId !== undefined) query.set("trace_id", traceId);
    let waiting: ServerEvent[] = [];
    const timer = setInterval(() => {
      if (waiting.length === 0) return;
      const batch = waiting;
      waiting = [];
      tell(batch);
    }, BATCH_MS);
    void listen(`/v1/live?${query.toString()}`, stopping.signal, (event) => waiting.push(event));
    return () => {
      stopping.abort();
      clearInterval(timer);
    };
  }, [isOn, traceId, asked]);
}

async function listen(address: string, signal: AbortSignal, take: (event: ServerEvent) => void): Promise<void> {
  let lastId = "";
  let waitMs = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const parser = new EventParser();
    const silence = new Silence(SILENT_MS);
    try {
      const headers: Record<string, string> = lastId === "" ? {} : { "last-event-id": lastId };
      const response = await fetch(address, { credentials: "same-origin", headers, signal: AbortSignal.any([signal, silence.signal]) });
      if (response.status === 401 || response.status === 403) return;
      if (response.ok) {
        for await (const event of readEvents(response, parser, () => silence.heard())) {
          lastId = event.id || lastId;
          waitMs = FIRST_WAIT_MS;
          take(event);
        }
      } else if (response.status === 422) lastId = "";
    } catch {
      // Away, cut or silent: asked again below.
    } finally {
      silence.end();
    }
    await pause(parser.retryMs ?? waitMs, signal);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
}

/** Aborts what nothing is heard of. */
class Silence {
  readonly #aborting = new AbortController();
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#aborting.signal;
  }

  /** Something was heard: wait anew. */
  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#aborting.abort(), this.#ms);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
