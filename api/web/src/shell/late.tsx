/**
 * What people see while ClawTrace does not answer: since when what they look at is not renewed.
 *
 * Upstream: the questions that the page has asked, and how they ended.
 * Downstream: a line above the page.
 * Guarantee: what was read stays on the page; it is asked for again by itself, and so is what could not be read at all
 * once an answer comes.
 */
import { notifyManager, type Query, type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { Problem } from "../api/client";
import { sessionQuery } from "../api/queries";
import { formatClock } from "../kit/format";

const ASK_EVERY_MS = 4_000;
const AWAY = [0, 502, 503, 504];

export function LateBar() {
  const client = useQueryClient();
  const cache = client.getQueryCache();
  const sinceMs = useSyncExternalStore(
    (listener) => cache.subscribe(notifyManager.batchCalls(listener)),
    () => lateSince(cache.getAll()),
  );
  const isAnyAway = useSyncExternalStore(
    (listener) => cache.subscribe(notifyManager.batchCalls(listener)),
    () => cache.getAll().some(isAway),
  );
  useEffect(() => {
    if (!isAnyAway) return;
    const timer = setInterval(() => void askAgain(client), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [isAnyAway, client]);
  return (
    <div role="status">
      {sinceMs !== undefined && (
        <p className="late">
          ClawTrace does not answer. What you see is from {formatClock(sinceMs)}; it is renewed as soon as an answer comes.
        </p>
      )}
    </div>
  );
}

/** When the oldest of what is shown was read, if it could not be read again. */
export function lateSince(queries: readonly Query[]): number | undefined {
  const late = queries.filter(isLate);
  return late.length === 0 ? undefined : Math.min(...late.map(({ state }) => state.dataUpdatedAt));
}

/** Whether something that is shown could not be read, or not be read again. */
function isAway(query: Query): boolean {
  const { status, error } = query.state;
  return status === "error" && error instanceof Problem && AWAY.includes(error.status) && query.isActive();
}

function isLate(query: Query): boolean {
  return isAway(query) && query.state.data !== undefined;
}

/** What is shown, and who is signed in: the page of somebody else's session would be a lie. */
async function askAgain(client: QueryClient): Promise<void> {
  const session = JSON.stringify(sessionQuery.queryKey);
  await client.refetchQueries({ type: "active", predicate: (query) => isAway(query) || query.queryHash === session });
}
