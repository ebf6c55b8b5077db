/**
 * Alerts as short lines.
 *
 * Upstream: open alerts.
 * Downstream: overview, agent.
 * Guarantee: each leads to its numbers.
 */
import { Link } from "react-router";

import { formatAgo } from "../kit/format";
import { microsOf } from "../kit/tokens";
import type { AlertLine } from "./live_now";

export function AlertLines({ alerts }: { readonly alerts: readonly AlertLine[] }) {
  return (
    <ul className="plain-list plain-list-marked" aria-label="Open alerts">
      {alerts.map((alert) => (
        <li key={alert.alert_id}>
          <span className={`badge badge-${alert.severity}`}>{alert.severity}</span>
          <span>
            <Link to={`/alerts/${encodeURIComponent(alert.alert_id)}`}>{alert.message}</Link>{" "}
            <span className="soft">{formatAgo(microsOf(alert.at))}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}
