import { expect, test } from "vitest";

import type { TraceSkeleton, TraceSummary } from "../api/queries";
import { type LiveSpan, withLiveSpans } from "./live_spans";

const skeleton = {
  trace: { trace_id: "t", is_open: true } as TraceSummary,
  truncated: false,
  strings: ["invoke_agent main"],
  kinds: ["run", "attempt", "model_call", "tool_call", "compaction", "guard"],
  statuses: ["running", "ok", "error", "blocked", "incomplete"],
  started_us: Date.UTC(2026, 10, 23, 5) * 1_000,
  span_id: ["root"], parent: [-1], kind: [0], status: [0], name: [0], agent: [-1], provider: [-1], model: [-1], tool: [-1],
  start_us: [0], duration_us: [null], input_tokens: [0], cache_read_tokens: [0], cache_write_tokens: [0], output_tokens: [0],
  cost_e12: [null], flags: [-1],
} as TraceSkeleton; // prettier-ignore

const span = (spanId: string, parent: string | null, more: Partial<LiveSpan> = {}): [string, LiveSpan] => [
  spanId,
  {
    span_id: spanId, parent_span_id: parent, kind: "tool_call", name: "execute_tool exec", status: "ok",
    started_at: "2026-11-23T05:00:01.000250Z", ended_at: "2026-11-23T05:00:02Z", tokens: null, cost_usd: null,
    openclaw_agent_id: null, provider: null, model: null, tool_name: "exec", flags: [], ...more,
  } as LiveSpan, // prettier-ignore
];

test("new spans come below their parents, even when a parent comes later", () => {
  const merged = withLiveSpans(skeleton, new Map([span("leaf", "middle", { flags: ["redundant"] }), span("middle", "root")]), undefined);
  expect(merged.span_id).toEqual(["root", "leaf", "middle"]);
  expect(merged.parent).toEqual([-1, 2, 0]);
  expect([merged.start_us[1], merged.duration_us[1]]).toEqual([1_000_250, 999_750]);
  expect(merged.strings[merged.flags[1]!]).toBe("redundant");
  expect(skeleton.span_id).toEqual(["root"]);
});

test("a span that is known is replaced, once", () => {
  const ended = span("root", null, { kind: "run", name: "invoke_agent main", ended_at: "2026-11-23T05:00:03Z", cost_usd: "0.0125", started_at: "2026-11-23T05:00:00Z" });
  const merged = withLiveSpans(skeleton, new Map([ended]), { ...skeleton.trace, is_open: false });
  expect(merged.span_id).toEqual(["root"]);
  expect([merged.duration_us[0], merged.cost_e12[0], merged.status[0], merged.name[0]]).toEqual([3_000_000, 12_500_000_000, 1, 0]);
  expect(merged.trace.is_open).toBe(false);
});

test("nothing new is no new skeleton", () => {
  expect(withLiveSpans(skeleton, new Map(), undefined)).toBe(skeleton);
});
