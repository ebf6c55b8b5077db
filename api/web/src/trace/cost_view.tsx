/**
 * What a run cost more than its task usually does, and what it paid for again.
 *
 * Upstream: GET /v1/traces/{trace_id}/why and /reread.
 * Downstream: the steps of the trace.
 * Guarantee: the reasons add up to the difference, as the API promises; each line leads to its step, by keys too.
 */
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { type CacheBreak, rereadQuery, type RereadTool, type WhyItem, type WhyReason, whyQuery } from "../api/queries";
import { changeText, DeltaTable, StepCell } from "../kit/delta";
import { formatCount, formatDuration, formatTokens, formatUsd } from "../kit/format";
import { Empty, Failed, Loading } from "../kit/states";
import { numbers, Table } from "../kit/table";
import "./cost_view.css";

type Select = (spanId: string) => void;

const REASONS: Record<WhyReason, string> = {
  more_calls: "More or fewer model calls",
  repeats: "Calls that did again what was done",
  larger_prompt: "Longer or shorter prompts",
  longer_output: "Longer or shorter answers",
  cache_break: "The prompt cache broke",
  dearer_model: "Another model or price",
  unpriced: "A call without a price",
};

const BREAKS: Record<CacheBreak["reason"], string> = {
  first_call: "first call of the session",
  model_changed: "the model changed",
  compaction: "the history was replaced",
  pause: "a longer pause than the cache lives",
  prefix_changed: "tools, system prompt or an earlier message changed",
};

interface CostViewProps {
  readonly traceId: string;
  readonly isOpen: boolean;
  readonly onSelect: Select;
}

export function CostView({ traceId, isOpen, onSelect }: CostViewProps) {
  return (
    <div className="cost-view">
      <section aria-labelledby="why-title">
        <h2 id="why-title">Against the usual run of the task</h2>
        {isOpen ? <Empty title="The run is compared when it has ended." /> : <Why traceId={traceId} onSelect={onSelect} />}
      </section>
      <section aria-labelledby="reread-title">
        <h2 id="reread-title">Paid for again</h2>
        <Reread traceId={traceId} onSelect={onSelect} />
      </section>
    </div>
  );
}

function Why({ traceId, onSelect }: Omit<CostViewProps, "isOpen">) {
  const why = useQuery(whyQuery(traceId));
  if (why.isPending) return <Loading what="the comparison" />;
  if (why.isError) return <Failed error={why.error} onRetry={() => void why.refetch()} />;
  const { usual, reasons, items, times } = why.data;
  if (usual === null) {
    return <Empty title="Nothing to compare with">No other run of {why.data.task_id} ended in the 30 days before.</Empty>;
  }
  return (
    <>
      <p>
        This run cost <strong>{changeText(why.data.cost_delta_usd)}</strong>
        {times !== null && <> ({times.toFixed(1)} times)</>} than{" "}
        <Link to={`/traces/${encodeURIComponent(usual.trace_id)}`}>the run of median cost</Link> among {formatCount(why.data.num_runs)} others of its task (
        {formatUsd(usual.cost_usd)}). <Link to={`/compare/${encodeURIComponent(usual.trace_id)}/${encodeURIComponent(traceId)}`}>Compare step by step</Link>
      </p>
      {why.data.truncated && <p className="badge badge-flag">Only the first steps of a very long run were looked at.</p>}
      {reasons.length > 0 && (
        <DeltaTable label="Reasons" caption="What the difference comes from" columns={["Because"]} items={reasons} cells={({ reason }) => <td>{REASONS[reason]}</td>} />
      )}
      {items.length > 0 && <Blame items={items} restUsd={why.data.rest_cost_delta_usd} onSelect={onSelect} />}
    </>
  );
}

function Blame({ items, restUsd, onSelect }: { readonly items: readonly WhyItem[]; readonly restUsd: string | null; readonly onSelect: Select }) {
  return (
    <DeltaTable
      label="Steps"
      caption="Steps that the difference comes from"
      columns={["Step", "Because"]}
      items={items}
      rest={{ name: "All other steps", usd: restUsd }}
      cells={({ path, after, reason }) => (
        <>
          <StepCell path={path}>
            {after === null ? `${path.at(-1)} (only in the usual run)` : <StepButton spanId={after.span_id} name={path.at(-1) ?? ""} onSelect={onSelect} />}
          </StepCell>
          <td>{REASONS[reason]}</td>
        </>
      )}
    />
  );
}

function Reread({ traceId, onSelect }: Omit<CostViewProps, "isOpen">) {
  const reread = useQuery(rereadQuery(traceId));
  if (reread.isPending) return <Loading what="the bill" />;
  if (reread.isError) return <Failed error={reread.error} onRetry={() => void reread.refetch()} />;
  const { results, cache_breaks: breaks } = reread.data;
  return (
    <>
      <p>
        {formatCount(reread.data.num_results)} tool results cost <strong>{formatUsd(reread.data.cost_usd)}</strong>, {formatUsd(reread.data.again_usd)} of it in later
        calls than the first (estimated). Breaks of the prompt cache: {formatCount(reread.data.num_cache_breaks)}, for{" "}
        <strong>{formatUsd(reread.data.cache_breaks_usd)}</strong>.
      </p>
      {results.length > 0 && <Bill results={results} onSelect={onSelect} />}
      {breaks.length > 0 && <Breaks breaks={breaks} onSelect={onSelect} />}
    </>
  );
}

function Bill({ results, onSelect }: { readonly results: readonly RereadTool[]; readonly onSelect: Select }) {
  return (
    <Table label="Re-read bill" caption="Tool results by what they cost" columns={["Tool call", ...numbers("Tokens", "Times again", "Cost", "Again")]}>
      {results.map((item) => (
        <tr key={item.span_id}>
          <td>
            <StepButton spanId={item.span_id} name={item.tool_name} onSelect={onSelect} />
          </td>
          <td className="num">{formatTokens(item.num_tokens)}</td>
          <td className="num">{formatCount(item.num_again)}</td>
          <td className="num">{formatUsd(item.cost_usd)}</td>
          <td className="num">{formatUsd(item.again_usd)}</td>
        </tr>
      ))}
    </Table>
  );
}

function Breaks({ breaks, onSelect }: { readonly breaks: readonly CacheBreak[]; readonly onSelect: Select }) {
  return (
    <Table label="Breaks of the cache" caption="Where the prompt cache broke, in order" columns={["Model call", "Because", ...numbers("Since the call before", "Lost tokens", "Cost")]}>
      {breaks.map((item) => (
        <tr key={item.span_id}>
          <td>
            <StepButton spanId={item.span_id} name={item.model} onSelect={onSelect} />
          </td>
          <td>{BREAKS[item.reason]}</td>
          <td className="num">{item.pause_ms === null ? "" : formatDuration(item.pause_ms)}</td>
          <td className="num">{formatTokens(item.lost_tokens)}</td>
          <td className="num">{formatUsd(item.cost_usd)}</td>
        </tr>
      ))}
    </Table>
  );
}

function StepButton({ spanId, name, onSelect }: { readonly spanId: string; readonly name: string; readonly onSelect: Select }) {
  return (
    <button type="button" className="button-link" onClick={() => onSelect(spanId)}>
      {name || spanId}
    </button>
  );
}
