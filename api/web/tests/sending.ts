/**
 * A captured run of OpenClaw, sent to the gateway of the stack in portions, as its plugin would while the run goes on.
 *
 * Upstream: producers/replay/captures.
 * Downstream: tests that watch a run.
 * Guarantee: a portion is sent when the gateway has acknowledged it; the run began just now.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { type APIRequestContext, expect } from "@playwright/test";

import { served } from "./signed_in";

const CAPTURES = resolve(import.meta.dirname, "../../../producers/replay/captures");

interface HookLine {
  readonly hook: string;
  readonly tsMs: number;
  readonly event: unknown;
  readonly ctx: { readonly trace?: { readonly traceId?: string } };
}

export class SentRun {
  readonly traceId: string;
  readonly #lines: readonly HookLine[];
  readonly #spoolId = randomUUID();
  readonly #shiftMs: number;
  #numSent = 0;

  constructor(name: string) {
    const recorded = readFileSync(resolve(CAPTURES, `${name}.jsonl`), "utf8").trim();
    // Ids of its own each time, or a second run of the same capture would go on with the first one's.
    const fresh = new Map<string, string>();
    const text = recorded.replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=:probe-[a-z-]+)\d+|\b[0-9a-f]{32}\b/g, (id) => {
      const made = fresh.get(id) ?? (id.includes("-") ? randomUUID() : randomUUID().replaceAll("-", ""));
      fresh.set(id, made);
      return made;
    });
    this.#lines = text.split("\n").map((line) => JSON.parse(line) as HookLine);
    this.traceId = this.#lines.find((line) => line.ctx.trace?.traceId !== undefined)!.ctx.trace!.traceId!;
    this.#shiftMs = Date.now() - this.#lines.at(-1)!.tsMs;
  }

  /** How many calls of a hook the capture holds. */
  numOf(hook: string): number {
    return this.#lines.filter((line) => line.hook === hook).length;
  }

  /** Send what comes next, up to the num-th call of a hook; without arguments, all the rest. */
  async sendUntil(request: APIRequestContext, hook?: string, num = 1): Promise<void> {
    const places = this.#lines.flatMap((line, at) => (line.hook === hook ? [at] : []));
    const end = hook === undefined ? this.#lines.length : places[num - 1]! + 1;
    const { gateway_url, own_keys } = served();
    const answer = await request.post(`${gateway_url}/v1/events`, {
      headers: { authorization: `Bearer ${own_keys.ingest}` },
      data: {
        schema_version: 1,
        source: { name: "openclaw-capture", version: "1", host_version: "2026.9.6" },
        spool_id: this.#spoolId,
        events: this.#lines.slice(this.#numSent, end).map((line, at) => ({
          seq: this.#numSent + at,
          at_us: (line.tsMs + this.#shiftMs) * 1_000,
          hook: line.hook,
          event: line.event,
          ctx: line.ctx,
        })),
      },
    });
    expect(answer.status(), await answer.text()).toBe(202);
    this.#numSent = end;
  }
}
