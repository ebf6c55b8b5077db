/**
 * Spans that were streamed, put into a skeleton that was read before them.
 *
 * Upstream: events `span` and `trace` of GET /v1/live, which come seconds before the tables hold them.
 * Downstream: the trace page.
 * Guarantee: pure; a span that is known already is replaced, a new one added, each once, whatever the order they come
 * in; a parent that comes later is found then.
 */
import type { TraceSkeleton, TraceSummary } from "../api/queries";
import type { components } from "../api/schema";

export type LiveSpan = components["schemas"]["SpanSummary"];

export function withLiveSpans(
  skeleton: TraceSkeleton,
  spans: ReadonlyMap<string, LiveSpan>,
  trace: TraceSummary | undefined,
): TraceSkeleton {
  if (spans.size === 0) return trace === undefined ? skeleton : { ...skeleton, trace };
  const merged = copyOf(skeleton, trace);
  const indexes = new Map(merged.span_id.map((spanId, index) => [spanId, index]));
  const numbers = new Map(merged.strings.map((text, number) => [text, number]));
  const numberOf = (text: string | null): number => {
    if (text === null || text === "") return -1;
    const known = numbers.get(text);
    if (known !== undefined) return known;
    numbers.set(text, merged.strings.length);
    return merged.strings.push(text) - 1;
  };
  for (const spanId of spans.keys()) {
    if (!indexes.has(spanId)) indexes.set(spanId, merged.span_id.push(spanId) - 1);
  }
  for (const [spanId, span] of spans) {
    const index = indexes.get(spanId)!;
    const startUs = microsOf(span.started_at) - merged.started_us;
    merged.parent[index] = span.parent_span_id === null ? -1 : (indexes.get(span.parent_span_id) ?? -1);
    merged.kind[index] = merged.kinds.indexOf(span.kind);
    merged.status[index] = merged.statuses.indexOf(span.status);
    merged.name[index] = numberOf(span.name);
    merged.agent[index] = numberOf(span.openclaw_agent_id);
    merged.provider[index] = numberOf(span.provider);
    merged.model[index] = numberOf(span.model);
    merged.tool[index] = numberOf(span.tool_name);
    merged.start_us[index] = startUs;
    merged.duration_us[index] = span.ended_at === null ? null : Math.max(0, microsOf(span.ended_at) - merged.started_us - startUs);
    merged.input_tokens[index] = span.tokens?.input ?? 0;
    merged.cache_read_tokens[index] = span.tokens?.cache_read ?? 0;
    merged.cache_write_tokens[index] = span.tokens?.cache_write ?? 0;
    merged.output_tokens[index] = span.tokens?.output ?? 0;
    merged.cost_e12[index] = span.cost_usd === null ? null : Math.round(Number(span.cost_usd) * 1e12);
    merged.flags[index] = numberOf(span.flags.join(" "));
  }
  return merged;
}

function copyOf(skeleton: TraceSkeleton, trace: TraceSummary | undefined): TraceSkeleton {
  return {
    ...skeleton,
    trace: trace ?? skeleton.trace,
    strings: [...skeleton.strings],
    span_id: [...skeleton.span_id],
    parent: [...skeleton.parent],
    kind: [...skeleton.kind],
    status: [...skeleton.status],
    name: [...skeleton.name],
    agent: [...skeleton.agent],
    provider: [...skeleton.provider],
    model: [...skeleton.model],
    tool: [...skeleton.tool],
    start_us: [...skeleton.start_us],
    duration_us: [...skeleton.duration_us],
    input_tokens: [...skeleton.input_tokens],
    cache_read_tokens: [...skeleton.cache_read_tokens],
    cache_write_tokens: [...skeleton.cache_write_tokens],
    output_tokens: [...skeleton.output_tokens],
    cost_e12: [...skeleton.cost_e12],
    flags: [...skeleton.flags],
  };
}

/** Microseconds since 1970 of an instant with up to six decimals, which Date cuts to three. */
function microsOf(instant: string): number {
  const decimals = /\.(\d{1,6})/.exec(instant)?.[1] ?? "";
  const seconds = Date.parse(instant.replace(/\.\d+/, ""));
  return seconds * 1_000 + Number(decimals.padEnd(6, "0"));
}
