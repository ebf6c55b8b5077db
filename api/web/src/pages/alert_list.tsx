/**
 * The list of alerts, and one of them with the numbers that prove it.
 *
 * Upstream: GET /v1/alerts.
 * Downstream: the span it is about; ack and snooze.
 * Guarantee: filters and the open alert stand in the address; who may not act is told so.
 */
import { useQuery } from "@tanstack/react-query";
import { Link, useLocation, useParams } from "react-router";

import { type AlertQuery, alertsQuery } from "../api/queries";
import { formatAgo, formatInstant } from "../kit/format";
import { Empty, Failed, Loading } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { rangeOf, windowOf } from "../kit/time_range";
import { microsOf } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { RangeField } from "../trace/trace_filters";
import { AlertDetail } from "./alert_detail";

const SEVERITIES = ["critical", "warning", "info"] as const;
const RENEW_MS = 10_000;

export function AlertList() {
  const { alertId } = useParams();
  const { get, set } = useUrlState();
  const severity = SEVERITIES.find((wanted) => wanted === get("severity"));
  const query: AlertQuery = {
    ...windowOf(rangeOf(get("range"), "30d")),
    limit: 100,
    open: get("all") !== "1",
    ...(severity === undefined ? {} : { severity }),
    ...(get("rule") === undefined ? {} : { rule: get("rule")! }),
  };
  const alerts = useQuery({ ...alertsQuery(query), refetchInterval: RENEW_MS });
  const items = alerts.data?.items ?? [];
  const { search } = useLocation();
  return (
    <>
      <div className="filters" role="search" aria-label="Alerts">
        <RangeField url={{ get, set }} fallback="30d" />
        <label className="field">
          <span>Severity</span>
          <select className="input" data-search value={severity ?? ""} onChange={(event) => set({ severity: event.target.value })}>
            <option value="">Any</option>
            {SEVERITIES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="check">
          <input type="checkbox" checked={get("all") === "1"} onChange={(event) => set({ all: event.target.checked ? "1" : undefined })} />
          Also those that are seen to or quiet
        </label>
      </div>
      <div className="alerts-split" data-detail={alertId === undefined ? undefined : ""}>
        <div>
          {alerts.isPending && <Loading what="alerts" />}
          {alerts.isError && <Failed error={alerts.error} onRetry={() => void alerts.refetch()} />}
          {alerts.isSuccess && items.length === 0 && <Empty title="Nothing needs you.">No alert in this time with these filters.</Empty>}
          {items.length > 0 && (
            <Table label="Alerts" columns={["Severity", "What happened", "Rule", "Agent", ...numbers("When")]}>
                  {items.map((alert) => (
                    <tr key={alert.alert_id} data-open={alert.alert_id === alertId || undefined}>
                      <td>
                        <span className={`badge badge-${alert.severity}`}>{alert.severity}</span>
                      </td>
                      <td className="name">
                        <Link to={{ pathname: `/alerts/${encodeURIComponent(alert.alert_id)}`, search }} aria-current={alert.alert_id === alertId || undefined}>
                          {alert.message}
                        </Link>{" "}
                        {alert.state === "ok" && <span className="badge">over</span>}
                        {alert.is_acked && <span className="badge">seen to</span>}
                        {alert.snoozed_until !== null && <span className="badge">quiet until {formatInstant(microsOf(alert.snoozed_until))}</span>}
                      </td>
                      <td>{alert.rule.replaceAll("_", " ")}</td>
                      <td>{alert.agent_id === "*" ? "all agents" : alert.agent_id}</td>
                      <td className="num" title={formatInstant(microsOf(alert.at))}>
                        {formatAgo(microsOf(alert.at))}
                      </td>
                    </tr>
                  ))}
            </Table>
          )}
        </div>
        {alertId !== undefined && <AlertDetail key={alertId} alertId={alertId} listed={items.find((alert) => alert.alert_id === alertId)} />}
      </div>
    </>
  );
}
