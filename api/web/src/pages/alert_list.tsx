/**
 * The list of alerts, and one of them with the numbers that prove it.
 *
 * Upstream: GET /v1/alerts.
 * Downstream: the span it is about; ack and snooze.
 * Guarantee: filters and the open alert stand in the address; who may not act is told so.
 */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useLocation, useParams } from "react-router";

import { agentsQuery, alertPagesQuery, type AlertQuery, rulesQuery } from "../api/queries";
import { ChoiceField } from "../kit/form";
import { formatAgo, formatInstant } from "../kit/format";
import { More } from "../kit/more";
import { Empty, Failed, Loading } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { rangeOf, windowOf } from "../kit/time_range";
import { microsOf } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { RangeField } from "../trace/trace_filters";
import { ruleName } from "../watch/setting_value";
import { AlertDetail } from "./alert_detail";

const SEVERITIES = ["critical", "warning", "info"] as const;
const RENEW_MS = 10_000;

export function AlertList() {
  const { alertId } = useParams();
  const { get, set } = useUrlState();
  const severity = SEVERITIES.find((wanted) => wanted === get("severity"));
  const query: AlertQuery = {
    ...windowOf(rangeOf(get("range"), "30d")),
    limit: 50,
    open: get("all") !== "1",
    ...(severity === undefined ? {} : { severity }),
    ...(get("rule") === undefined ? {} : { rule: get("rule")! }),
    ...(get("agent") === undefined ? {} : { agent_id: get("agent")! }),
  };
  const alerts = useInfiniteQuery({ ...alertPagesQuery(query), refetchInterval: RENEW_MS });
  const all = alerts.data?.pages.flatMap((page) => page.items) ?? [];
  const [wanted, setWanted] = useState("");
  const words = wanted.trim().toLowerCase();
  const items = all.filter(({ message, rule, agent_id }) => `${message} ${ruleName(rule)} ${agent_id}`.toLowerCase().includes(words));
  const rules = useQuery(rulesQuery(undefined));
  const agents = useQuery(agentsQuery(windowOf("30d")));
  const { search } = useLocation();
  return (
    <>
      <div className="filters" role="search" aria-label="Alerts">
        <label className="field wide">
          <span>Among those shown</span>
          <input className="input" type="search" data-search value={wanted} onChange={(event) => setWanted(event.target.value)} />
        </label>
        <RangeField url={{ get, set }} fallback="30d" />
        <label className="field">
          <span>Severity</span>
          <select className="input" value={severity ?? ""} onChange={(event) => set({ severity: event.target.value })}>
            <option value="">Any</option>
            {SEVERITIES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <ChoiceField label="Rule" value={get("rule") ?? ""} choices={[["", "Any"], ...choices(get("rule"), rules.data?.items.map((item) => item.rule), ruleName)]} onChoice={(rule) => set({ rule })} />
        <ChoiceField label="Agent" value={get("agent") ?? ""} choices={[["", "Any"], ...choices(get("agent"), agents.data?.items.map((item) => item.agent_id))]} onChoice={(agent) => set({ agent })} />
        <label className="check">
          <input type="checkbox" checked={get("all") === "1"} onChange={(event) => set({ all: event.target.checked ? "1" : undefined })} />
          Also those that are seen to or quiet
        </label>
      </div>
      <div className="alerts-split" data-detail={alertId === undefined ? undefined : ""}>
        <div>
          {alerts.isPending && <Loading what="alerts" />}
          {alerts.isLoadingError && <Failed error={alerts.error} onRetry={() => void alerts.refetch()} />}
          {alerts.data !== undefined && items.length === 0 && <Empty title="Nothing needs you.">No alert in this time with these filters.</Empty>}
          {items.length > 0 && (
            <Table label="Alerts" className="alerts-table" columns={["Severity", "What happened", "Rule", "Agent", ...numbers("When")]}>
                  {items.map((alert) => (
                    <tr key={alert.alert_id} data-open={alert.alert_id === alertId || undefined}>
                      <td>
                        <span className={`badge badge-${alert.severity}`}>{alert.severity}</span>
                      </td>
                      <td className="name">
                        <Link to={{ pathname: `/alerts/${encodeURIComponent(alert.alert_id)}`, search }} aria-current={alert.alert_id === alertId || undefined}>
                          {alert.message}
                        </Link>{" "}
                        <span className="narrow-only soft">
                          {alert.agent_id === "*" ? "all agents" : alert.agent_id} · {formatAgo(microsOf(alert.at))}
                        </span>
                        {alert.state === "ok" && <span className="badge">over</span>}
                        {alert.is_acked && <span className="badge">seen to</span>}
                        {alert.snoozed_until !== null && <span className="badge">quiet until {formatInstant(microsOf(alert.snoozed_until))}</span>}
                      </td>
                      <td>{ruleName(alert.rule)}</td>
                      <td>{alert.agent_id === "*" ? "all agents" : alert.agent_id}</td>
                      <td className="num" title={formatInstant(microsOf(alert.at))}>
                        {formatAgo(microsOf(alert.at))}
                      </td>
                    </tr>
                  ))}
            </Table>
          )}
          <More asked={alerts} />
        </div>
        {alertId !== undefined && <AlertDetail key={alertId} alertId={alertId} listed={all.find((alert) => alert.alert_id === alertId)} />}
      </div>
    </>
  );
}

/** What can be chosen; what the address says stays, known or not. */
function choices(chosen: string | undefined, known: readonly string[] = [], nameOf = (value: string) => value): (readonly [string, string])[] {
  return [...new Set(chosen === undefined ? known : [chosen, ...known])].map((value) => [value, nameOf(value)] as const);
}
