/**
 * Server-sent events read with fetch, so that a POST can answer with them and a broken stream is resumed by us.
 *
 * Upstream: a response of type text/event-stream.
 * Downstream: the live pages and Tracy.
 * Guarantee: events come out whole and in order, however the bytes were cut; comments and unknown fields are passed over.
 */

export interface ServerEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** Cuts a text stream into events; `push` takes any piece of it. */
export class EventParser {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];
  /** Milliseconds after which the server wants to be asked again, once it has said so. */
  retryMs: number | undefined;

  push(piece: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    this.#rest += piece;
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.#rest);
      if (end === null) return found;
      const line = this.#rest.slice(0, end.index);
      this.#rest = this.#rest.slice(end.index + end[0].length);
      if (line !== "") this.#take(line);
      else if (this.#data.length > 0) {
        found.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
      } else this.#event = "";
    }
  }

  #take(line: string): void {
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
}

/** Read a response as events until it ends; `onHeard` is told of whatever comes, be it no event. */
export async function* readEvents(response: Response, parser = new EventParser(), onHeard?: () => void): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onHeard?.();
      yield* parser.push(value);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
