/**
 * Connect an OpenClaw: a key, three lines, and the moment its first event arrives.
 *
 * Upstream: POST /v1/keys; the plugin as a file, from the API itself; the list of agents, asked again and again.
 * Downstream: a new agent.
 * Guarantee: turns green only when an agent was seen after this page was opened.
 */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { api, read } from "../api/client";
import { agentsQuery } from "../api/queries";
import { useMay } from "../api/who";
import { CopyButton } from "../kit/copy";
import { Form } from "../kit/form";
import { formatAgo } from "../kit/format";
import { Page } from "../kit/page";
import { Failed } from "../kit/states";
import { windowOf } from "../kit/time_range";
import { microsOf } from "../kit/tokens";
import "./start.css";

const ASK_EVERY_MS = 3_000;

/** The gateway of the local stack listens one port before the API. */
function gatewayOf({ protocol, hostname, port }: Location): string {
  return port === "" ? `${protocol}//${hostname}` : `${protocol}//${hostname}:${Number(port) - 1}`;
}

export default function Start() {
  const isAdmin = useMay("admin");
  const [agent, setAgent] = useState("my-openclaw");
  const [endpoint, setEndpoint] = useState(() => gatewayOf(location));
  const [openedMs] = useState(() => Date.now());
  const make = useMutation({
    mutationFn: () => read(api.POST("/v1/keys", { body: { scope: "ingest", agent_id: agent.trim() } })),
  });
  const agents = useQuery({ ...agentsQuery(windowOf("30d")), refetchInterval: ASK_EVERY_MS });
  const items = agents.data?.items ?? [];
  const arrived = items.find(
    (item) => Date.parse(item.last_seen_at) >= openedMs && (make.data === undefined || item.agent_id === make.data.agent_id),
  );
  const key = make.data?.key ?? "<your key>";
  const lines = [
    `curl -fsSO ${location.origin}/plugin/clawtrace-openclaw.tgz`,
    "openclaw plugins install npm-pack:./clawtrace-openclaw.tgz --force --accept-capabilities",
    `openclaw clawtrace setup --endpoint ${endpoint} --key ${key}`,
  ];
  return (
    <Page title="Get started" lead={<p className="soft">Connect an OpenClaw install; nothing else has to be set up.</p>}>
      <ol className="steps">
        <li className="card card-body">
          <h2>Make a key</h2>
          {isAdmin ? (
            <Form className="filters" onSend={() => make.mutate()}>
              <label className="field">
                <span>Name of the install</span>
                <input className="input" required maxLength={128} pattern="[A-Za-z0-9_.:~\-]+" value={agent} onChange={(event) => setAgent(event.target.value)} />
              </label>
              <label className="field">
                <span>Address of the gateway</span>
                <input className="input" required type="url" value={endpoint} onChange={(event) => setEndpoint(event.target.value)} />
              </label>
              <button type="submit" className="button button-main" disabled={make.isPending}>
                Make a key
              </button>
            </Form>
          ) : (
            <p>
              Ask an admin, or run <code>clawtrace keys create --agent {agent}</code>.
            </p>
          )}
          {make.isError && <Failed error={make.error} />}
          {make.data !== undefined && <p role="status">The key stands in the third line below. It is shown this once.</p>}
        </li>
        <li className="card card-body">
          <h2>Run three lines where OpenClaw runs</h2>
          <pre className="secret">{lines.join("\n")}</pre>
          <p className="row-actions">
            <CopyButton text={lines.join("\n")} label="Copy the lines" />
            <span className="soft">
              Then use your agent as always, or <code>openclaw agent --message &quot;Say hello&quot;</code>.
            </span>
          </p>
        </li>
        <li className="card card-body" data-arrived={arrived === undefined ? undefined : ""}>
          <h2>See the first event</h2>
          <p role="status">
            {arrived === undefined ? (
              <>
                <span className="spinner" aria-hidden="true" /> Waiting for the first event …
              </>
            ) : (
              <>
                <span aria-hidden="true">✓ </span>
                <strong>{arrived.agent_id}</strong> is connected. <Link to={`/agents/${encodeURIComponent(arrived.agent_id)}`}>Look at it</Link>
              </>
            )}
          </p>
          {arrived === undefined && items.length > 0 && (
            <p className="soft">
              Connected before:{" "}
              {items.slice(0, 5).map((item) => (
                <span key={item.agent_id}>
                  <Link to={`/agents/${encodeURIComponent(item.agent_id)}`}>{item.agent_id}</Link> ({formatAgo(microsOf(item.last_seen_at))}){" "}
                </span>
              ))}
            </p>
          )}
        </li>
      </ol>
    </Page>
  );
}
