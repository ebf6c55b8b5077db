/**
 * The skeleton of the API as columns for the views.
 *
 * Upstream: GET /v1/traces/{trace_id}/skeleton, and the alerts about the trace.
 * Downstream: `TraceModel`.
 * Guarantee: no object per span; an alert about a span is one more of its flags.
 */
import type { AlertItem, TraceSkeleton } from "../api/queries";
import type { SpanColumns } from "./model";

const NO_FLAGS: readonly string[] = [];
const E12 = 1e12;

export function columnsOf(skeleton: TraceSkeleton, alerts: readonly AlertItem[] = []): SpanColumns {
  const { strings } = skeleton;
  const flagSets = new Map<number, readonly string[]>();
  const flagsAt = (number: number): readonly string[] => {
    if (number < 0) return NO_FLAGS;
    let flags = flagSets.get(number);
    if (flags === undefined) flagSets.set(number, (flags = strings[number]!.split(" ")));
    return flags;
  };
  const flags = skeleton.flags.map(flagsAt);
  const marked = new Map(alerts.map((alert) => [alert.span_id, alert]));
  if (marked.size > 0) {
    skeleton.span_id.forEach((spanId, index) => {
      const alert = marked.get(spanId);
      if (alert !== undefined) flags[index] = [...flags[index]!, alert.rule];
    });
  }
  const costs = skeleton.cost_e12;
  return {
    spanIds: skeleton.span_id,
    parents: skeleton.parent,
    kinds: skeleton.kind.map((kind) => skeleton.kinds[kind]!),
    names: skeleton.name.map((name) => strings[name] ?? ""),
    statuses: skeleton.status.map((status) => skeleton.statuses[status]!),
    startsMs: skeleton.start_us.map((us) => us / 1_000),
    durationsMs: skeleton.duration_us.map((us) => (us === null ? null : us / 1_000)),
    costsUsd: costs.map((cost) => (cost === null ? null : cost / E12)),
    tokens: skeleton.input_tokens.map((input, index) => {
      const sum =
        input +
        skeleton.cache_read_tokens[index]! +
        skeleton.cache_write_tokens[index]! +
        skeleton.output_tokens[index]!;
      // The skeleton has no null here: what is no model call, or one that still runs, has no tokens, which is not 0 of them.
      const isKnown = skeleton.kinds[skeleton.kind[index]!] === "model_call" && skeleton.statuses[skeleton.status[index]!] !== "running";
      return sum === 0 && !isKnown ? null : sum;
    }),
    flags,
  };
}

/** What a span calls: the node of the call graph that it is a call of; undefined for what is in no node. */
export function calledBy(skeleton: TraceSkeleton, index: number): string | undefined {
  const { strings } = skeleton;
  const kind = skeleton.kinds[skeleton.kind[index]!];
  if (kind === "model_call") {
    const provider = strings[skeleton.provider[index]!];
    const model = strings[skeleton.model[index]!] ?? "";
    return `model:${provider === undefined ? model : `${provider}/${model}`}`;
  }
  if (kind === "tool_call") return `tool:${strings[skeleton.tool[index]!] ?? ""}`;
  if (kind === "run") return `agent:${strings[skeleton.agent[index]!] ?? ""}`;
  return undefined;
}

/** Calls of the same thing with the same name, the dearest first, without the span itself. */
export function similarCalls(skeleton: TraceSkeleton, columns: SpanColumns, index: number): number[] {
  const found: number[] = [];
  for (let other = 0; other < columns.spanIds.length; other += 1) {
    const isSame = skeleton.kind[other] === skeleton.kind[index] && skeleton.name[other] === skeleton.name[index];
    if (other !== index && isSame) found.push(other);
  }
  return found.sort((left, right) => (columns.costsUsd[right] ?? 0) - (columns.costsUsd[left] ?? 0));
}
