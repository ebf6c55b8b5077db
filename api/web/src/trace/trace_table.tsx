/**
 * Traces as a table: name, status, cost, tokens, duration, start.
 *
 * Upstream: a page of traces.
 * Downstream: the pages of traces, of an agent and the overview.
 * Guarantee: a real table; the name is the link, so keys and screen readers need nothing more.
 */
import { Link } from "react-router";

import type { TraceSummary } from "../api/queries";
import { formatAgo, formatCount, formatDuration, formatInstant, formatTokens, formatUsd } from "../kit/format";
import { StatusBadge } from "../kit/states";
import { TableBox } from "../kit/table";
import { microsOf, totalTokens } from "../kit/tokens";

export const SORTS = { cost: "cost_usd", tokens: "tokens", duration: "duration_ms", started: "started_at" } as const;

interface TraceTableProps {
  readonly traces: readonly TraceSummary[];
  readonly label: string;
  /** Order as the API names it, and how to change it; without it the heads are plain. */
  readonly sort?: string;
  readonly onSort?: (sort: string) => void;
  /** Ids that are marked for comparison, and how to change them. */
  readonly marked?: readonly string[];
  readonly onMark?: (traceId: string, isMarked: boolean) => void;
  readonly showAgent?: boolean;
}

export function TraceTable({ traces, label, sort, onSort, marked, onMark, showAgent = true }: TraceTableProps) {
  const head = (name: string, column: string) => (
    <SortHead key={column} name={name} column={column} sort={sort} onSort={onSort} />
  );
  return (
    <TableBox label={label}>
        <thead>
          <tr>
            {onMark !== undefined && (
              <th scope="col">
                <span className="visually-hidden">Compare</span>
              </th>
            )}
            <th scope="col">Run</th>
            <th scope="col">Status</th>
            {showAgent && <th scope="col">Agent</th>}
            {head("Cost", SORTS.cost)}
            {head("Tokens", SORTS.tokens)}
            <th scope="col" className="num">
              Calls
            </th>
            {head("Duration", SORTS.duration)}
            {head("Started", SORTS.started)}
          </tr>
        </thead>
        <tbody>
          {traces.map((trace) => (
            <tr key={`${trace.agent_id} ${trace.trace_id}`}>
              {onMark !== undefined && (
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Compare ${trace.name}`}
                    checked={marked?.includes(trace.trace_id) ?? false}
                    onChange={(event) => onMark(trace.trace_id, event.target.checked)}
                  />
                </td>
              )}
              <td className="name">
                <Link to={`/traces/${encodeURIComponent(trace.trace_id)}`} className="clip">
                  {trace.name || trace.trace_id}
                </Link>
                <span className="narrow-only soft">
                  {formatUsd(trace.cost_usd)} · {formatDuration(trace.duration_ms)} · {formatAgo(microsOf(trace.started_at))}
                </span>
                {trace.category !== "work" && <span className="badge">{trace.category}</span>}
              </td>
              <td>
                <StatusBadge status={trace.status} />
                {trace.num_errors > 0 && (
                  <span className="badge badge-error">
                    {formatCount(trace.num_errors)} failed {trace.num_errors === 1 ? "step" : "steps"}
                  </span>
                )}
              </td>
              {showAgent && (
                <td>
                  <Link to={`/agents/${encodeURIComponent(trace.agent_id)}`}>{trace.agent_id}</Link>
                </td>
              )}
              <td className="num">{formatUsd(trace.cost_usd)}</td>
              <td className="num">{formatTokens(totalTokens(trace.tokens))}</td>
              <td className="num">{formatCount(trace.num_model_calls + trace.num_tool_calls)}</td>
              <td className="num">{formatDuration(trace.duration_ms)}</td>
              <td className="num" title={formatInstant(microsOf(trace.started_at))}>
                {formatAgo(microsOf(trace.started_at))}
              </td>
            </tr>
          ))}
        </tbody>
    </TableBox>
  );
}

interface SortHeadProps {
  readonly name: string;
  readonly column: string;
  readonly sort: string | undefined;
  readonly onSort: ((sort: string) => void) | undefined;
}

function SortHead({ name, column, sort, onSort }: SortHeadProps) {
  if (onSort === undefined) {
    return (
      <th scope="col" className="num">
        {name}
      </th>
    );
  }
  const order = sort === column ? "ascending" : sort === `-${column}` ? "descending" : "none";
  return (
    <th scope="col" className="num" aria-sort={order}>
      <button type="button" onClick={() => onSort(order === "descending" ? column : `-${column}`)}>
        {name} <span aria-hidden="true">{order === "ascending" ? "▲" : order === "descending" ? "▼" : "↕"}</span>
      </button>
    </th>
  );
}
