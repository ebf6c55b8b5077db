/**
 * Which page belongs to which address, and who may see any of them.
 *
 * Upstream: the address; the session of the API.
 * Downstream: the pages, each loaded when it is first shown.
 * Guarantee: without a session there is the login and nothing else; a session that ends brings it back, and afterwards
 * the same page.
 */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, useEffect } from "react";
import { Route, Routes } from "react-router";

import { onSessionLost, Problem } from "./api/client";
import { sessionQuery } from "./api/queries";
import { Page } from "./kit/page";
import { Empty, Failed, Loading } from "./kit/states";
import { Login } from "./shell/login";
import { Shell } from "./shell/shell";

const Overview = lazy(() => import("./pages/overview"));
const Agents = lazy(() => import("./pages/agents"));
const Agent = lazy(() => import("./pages/agent"));
const Traces = lazy(() => import("./pages/traces"));
const loadTrace = () => import("./pages/trace");
const Trace = lazy(loadTrace);
const Compare = lazy(() => import("./pages/compare"));
const Alerts = lazy(() => import("./pages/alerts"));
const Sql = lazy(() => import("./pages/sql"));
const Settings = lazy(() => import("./pages/settings"));
const Start = lazy(() => import("./pages/start"));

// The heaviest page: its files come while the session is asked for.
if (location.pathname.startsWith("/traces/")) void loadTrace();

export function App() {
  const client = useQueryClient();
  const session = useQuery(sessionQuery);
  useEffect(
    () =>
      onSessionLost(() => {
        // Nothing of one person may be seen by the next.
        if (client.getQueryData(sessionQuery.queryKey) === undefined) return;
        client.clear();
        void client.invalidateQueries({ queryKey: sessionQuery.queryKey });
      }),
    [client],
  );
  if (session.isPending) return <Loading what="ClawTrace" />;
  if (session.error instanceof Problem && session.error.status === 401) return <Login />;
  if (session.data === undefined) {
    return <Failed error={session.error} onRetry={() => void session.refetch()} />;
  }
  return (
    <Routes>
      <Route element={<Shell who={session.data} />}>
        <Route index element={<Overview />} />
        <Route path="agents" element={<Agents />} />
        <Route path="agents/:agentId" element={<Agent />} />
        <Route path="traces" element={<Traces />} />
        <Route path="traces/:traceId" element={<Trace />} />
        <Route path="compare/:beforeId/:afterId" element={<Compare />} />
        <Route path="alerts" element={<Alerts />} />
        <Route path="alerts/:alertId" element={<Alerts />} />
        <Route path="sql" element={<Sql />} />
        <Route path="settings" element={<Settings />} />
        <Route path="start" element={<Start />} />
        <Route path="*" element={<NotFound />} />
      </Route>
    </Routes>
  );
}

function NotFound() {
  return (
    <Page title="No such page">
      <Empty title="Nothing is at this address.">Look in the list of pages.</Empty>
    </Page>
  );
}
