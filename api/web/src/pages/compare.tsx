/**
 * Two traces side by side, and which steps the difference in cost comes from.
 *
 * Upstream: GET /v1/traces/{trace_id}/diff/{other_id}.
 * Downstream: the steps in both traces.
 * Guarantee: the rows and the rest add up to the difference, as the API promises.
 */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";

import { type DiffItem, diffQuery, type TraceSummary } from "../api/queries";
import { changeText, DeltaTable, StepCell } from "../kit/delta";
import { formatCount, formatDuration, formatInstant, formatTokens, formatUsd } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Failed, Loading, StatusBadge } from "../kit/states";
import { numbers } from "../kit/table";
import { microsOf, totalTokens } from "../kit/tokens";
import "./compare.css";

export default function Compare() {
  const { beforeId = "", afterId = "" } = useParams();
  const diff = useQuery(diffQuery(beforeId, afterId));
  return (
    <Page
      title="Compare two runs"
      actions={
        <Link className="button" to={`/compare/${afterId}/${beforeId}`}>
          Swap
        </Link>
      }
    >
      {diff.isPending && <Loading what="both runs" />}
      {diff.isLoadingError && <Failed error={diff.error} onRetry={() => void diff.refetch()} />}
      {diff.data !== undefined && (
        <>
          <div className="compare-pair">
            <Side name="Before" trace={diff.data.before} />
            <Side name="After" trace={diff.data.after} />
          </div>
          <p className="compare-sum">
            The second run cost <strong>{changeText(diff.data.cost_delta_usd)}</strong>. {formatCount(diff.data.num_aligned)} steps are in both;{" "}
            {formatCount(diff.data.num_differences)} differ.
          </p>
          {diff.data.truncated && <p className="badge badge-flag">Only the first steps of a very long run were looked at.</p>}
          <Blame items={diff.data.items} restUsd={diff.data.rest_cost_delta_usd} beforeId={beforeId} afterId={afterId} />
        </>
      )}
    </Page>
  );
}

function Side({ name, trace }: { readonly name: string; readonly trace: TraceSummary }) {
  const facts: [string, string][] = [
    ["Cost", formatUsd(trace.cost_usd)],
    ["Tokens", formatTokens(totalTokens(trace.tokens))],
    ["Duration", formatDuration(trace.duration_ms)],
    ["Model calls", formatCount(trace.num_model_calls)],
    ["Tool calls", formatCount(trace.num_tool_calls)],
    ["Failed steps", formatCount(trace.num_errors)],
    ["Started", formatInstant(microsOf(trace.started_at))],
  ];
  return (
    <section className="card card-body" aria-label={name}>
      <p className="soft">{name}</p>
      <h2>
        <Link to={`/traces/${encodeURIComponent(trace.trace_id)}`}>{trace.name}</Link>
      </h2>
      <p>
        <StatusBadge status={trace.status} />
      </p>
      <dl className="facts">
        {facts.map(([fact, value]) => (
          <div key={fact} className="fact">
            <dt>{fact}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

interface BlameProps {
  readonly items: readonly DiffItem[];
  readonly restUsd: string | null;
  readonly beforeId: string;
  readonly afterId: string;
}

function Blame({ items, restUsd, beforeId, afterId }: BlameProps) {
  if (items.length === 0) return <Empty title="Both runs took the same steps at the same cost." />;
  return (
    <DeltaTable
      label="Cost blame"
      caption="Steps by how much they changed the cost"
      columns={["Step", "Change", ...numbers("Before", "After")]}
      items={items}
      rest={{ name: "All other differences", usd: restUsd }}
      cells={(item) => (
        <>
          <StepCell path={item.path}>
            {item.path.at(-1)}{" "}
            {item.span_id_before !== null && (
              <Link to={`/traces/${beforeId}?span=${item.span_id_before}`} aria-label={`before: ${item.path.at(-1)}`}>
                before
              </Link>
            )}{" "}
            {item.span_id_after !== null && (
              <Link to={`/traces/${afterId}?span=${item.span_id_after}`} aria-label={`after: ${item.path.at(-1)}`}>
                after
              </Link>
            )}
          </StepCell>
          <td>
            <span className="badge">{item.change}</span>
          </td>
          <td className="num">{item.change === "added" ? "" : `${formatUsd(item.before.cost_usd)} · ${formatTokens(item.before.tokens)}`}</td>
          <td className="num">{item.change === "removed" ? "" : `${formatUsd(item.after.cost_usd)} · ${formatTokens(item.after.tokens)}`}</td>
        </>
      )}
    />
  );
}
