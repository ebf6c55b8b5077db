/**
 * All traces, filtered, with two of them to compare.
 *
 * Upstream: GET /v1/traces.
 * Downstream: the trace page, the compare page.
 * Guarantee: the address is the whole state.
 */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { tracePagesQuery } from "../api/queries";
import { More } from "../kit/more";
import { Page } from "../kit/page";
import { Empty, Failed, Loading } from "../kit/states";
import { rangeOf } from "../kit/time_range";
import { useUrlState } from "../kit/url_state";
import { TraceFilters, traceQueryOf } from "../trace/trace_filters";
import { TraceTable } from "../trace/trace_table";

export default function Traces() {
  const url = useUrlState();
  const [marked, setMarked] = useState<readonly string[]>([]);
  const query = traceQueryOf(url.get, rangeOf(url.get("range")));
  const traces = useInfiniteQuery(tracePagesQuery(query));
  const items = traces.data?.pages.flatMap((page) => page.items) ?? [];
  // The older one first: what is told is what changed since.
  const pair = items.filter((trace) => marked.includes(trace.trace_id)).toSorted(byStart);
  return (
    <Page
      title="Traces"
      actions={
        pair.length === 2 ? (
          <Link className="button button-main" to={`/compare/${pair[0]!.trace_id}/${pair[1]!.trace_id}`}>
            Compare these two
          </Link>
        ) : (
          <span className="soft">Mark two runs to compare them.</span>
        )
      }
    >
      <TraceFilters url={url} />
      {traces.isPending && <Loading what="traces" />}
      {traces.isLoadingError && <Failed error={traces.error} onRetry={() => void traces.refetch()} />}
      {traces.data !== undefined && items.length === 0 && (
        <Empty title="No runs here.">
          Widen the time or clear the filters; or <Link to="/start">connect an agent</Link>.
        </Empty>
      )}
      {items.length > 0 && (
        <TraceTable
          traces={items}
          label="Traces"
          sort={query.sort ?? "-started_at"}
          onSort={(sort) => url.set({ sort })}
          marked={marked}
          onMark={(traceId, isMarked) =>
            setMarked((before) => [...before.filter((other) => other !== traceId), ...(isMarked ? [traceId] : [])].slice(-2))
          }
        />
      )}
      <More asked={traces} />
    </Page>
  );
}

function byStart(left: { started_at: string }, right: { started_at: string }): number {
  return left.started_at.localeCompare(right.started_at);
}
