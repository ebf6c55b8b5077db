/**
 * Words that an agent or a run was told: what, why, by whom, until when.
 *
 * Upstream: verdicts of the API, which name the person behind an order.
 * Downstream: the guard of an agent, the guard of a run.
 * Guarantee: those in force stand first and are marked.
 */
import { Link } from "react-router";

import type { VerdictItem } from "../api/queries";
import { formatInstant, formatMinute } from "../kit/format";
import { microsOf } from "../kit/tokens";

interface WordsProps {
  readonly verdicts: readonly VerdictItem[];
  readonly inForce: readonly VerdictItem[];
}

export function Words({ verdicts, inForce }: WordsProps) {
  const holding = new Set(inForce.map((verdict) => verdict.verdict_id));
  const listed = [...inForce, ...verdicts.filter((verdict) => !holding.has(verdict.verdict_id))];
  if (listed.length === 0) return <p className="soft">It was never told to slow down or stop.</p>;
  return (
    <ul className="plain-list plain-list-marked" aria-label="What it was told">
      {listed.map((verdict) => (
        <li key={verdict.verdict_id}>
          <span className={`badge ${holding.has(verdict.verdict_id) && verdict.action === "abort" ? "badge-error" : ""}`}>{verdict.action}</span>
          <span>
            {verdict.reason}{" "}
            <span className="soft">
              {verdict.scope === "agent" || verdict.scope === "tenant" ? "" : `for a ${verdict.scope}, `}
              {whoSaid(verdict)}, {formatInstant(microsOf(verdict.issued_at))}
              {holding.has(verdict.verdict_id) ? `, until ${formatMinute(microsOf(verdict.expires_at))}` : ", over"}
            </span>
          </span>
          {verdict.alert_id !== null && <Link to={`/alerts/${encodeURIComponent(verdict.alert_id)}`}>The alert</Link>}
        </li>
      ))}
    </ul>
  );
}

function whoSaid(verdict: VerdictItem): string {
  if (verdict.said_by === "person") return `by ${verdict.ordered_by ?? "a person"}`;
  return verdict.said_by === "budget" ? "by a budget" : "by a rule";
}
