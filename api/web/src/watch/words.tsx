/**
 * Words that an agent or a run was told: what, why, by whom, until when.
 *
 * Upstream: verdicts of the API; the audit log, which knows people by name.
 * Downstream: the guard of an agent, the guard of a run.
 * Guarantee: those in force stand first and are marked.
 */
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { auditQuery, type VerdictItem } from "../api/queries";
import { useMay } from "../api/who";
import { formatInstant, formatMinute, formatValue } from "../kit/format";
import { microsOf } from "../kit/tokens";

interface WordsProps {
  readonly verdicts: readonly VerdictItem[];
  readonly inForce: readonly VerdictItem[];
}

export function Words({ verdicts, inForce }: WordsProps) {
  const holding = new Set(inForce.map((verdict) => verdict.verdict_id));
  const isAdmin = useMay("admin");
  const audit = useQuery({ ...auditQuery, enabled: isAdmin });
  const listed = [...inForce, ...verdicts.filter((verdict) => !holding.has(verdict.verdict_id))];
  if (listed.length === 0) return <p className="soft">It was never told to slow down or stop.</p>;
  const names = new Map((audit.data?.items ?? []).map((entry) => [formatValue(entry.details["verdict_id"]), entry.actor]));
  return (
    <ul className="plain-list plain-list-marked" aria-label="What it was told">
      {listed.map((verdict) => (
        <li key={verdict.verdict_id}>
          <span className={`badge ${holding.has(verdict.verdict_id) && verdict.action === "abort" ? "badge-error" : ""}`}>{verdict.action}</span>
          <span>
            {verdict.reason}{" "}
            <span className="soft">
              {verdict.scope === "agent" || verdict.scope === "tenant" ? "" : `for a ${verdict.scope}, `}
              {whoSaid(verdict, names)}, {formatInstant(microsOf(verdict.issued_at))}
              {holding.has(verdict.verdict_id) ? `, until ${formatMinute(microsOf(verdict.expires_at))}` : ", over"}
            </span>
          </span>
          {verdict.alert_id !== null && <Link to={`/alerts/${encodeURIComponent(verdict.alert_id)}`}>The alert</Link>}
        </li>
      ))}
    </ul>
  );
}

function whoSaid(verdict: VerdictItem, names: ReadonlyMap<string, string>): string {
  if (verdict.said_by === "person") return `by ${names.get(verdict.verdict_id) ?? "a person"}`;
  return verdict.said_by === "budget" ? "by a budget" : "by a rule";
}
