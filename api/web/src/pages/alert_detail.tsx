/**
 * One alert: the sentence, the numbers, the step it is about, and what was done.
 *
 * Upstream: the list, or a link to an alert that no filter of the list lets through.
 * Downstream: PUT and DELETE of ack and snooze.
 * Guarantee: what was done is shown as the API answered it.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { api, read } from "../api/client";
import { type AlertItem, alertsQuery } from "../api/queries";
import { useMay } from "../api/who";
import { formatInstant } from "../kit/format";
import { Empty, Failed, Loading } from "../kit/states";
import { microsOf } from "../kit/tokens";
import { askTracy } from "../tracy/open";
import { evidenceText, nameOf } from "../watch/evidence";
import { ruleName } from "../watch/setting_value";

const SNOOZES = [
  [60, "1 hour"],
  [480, "8 hours"],
  [1_440, "1 day"],
  [10_080, "1 week"],
] as const;

interface AlertDetailProps {
  readonly alertId: string;
  readonly listed: AlertItem | undefined;
}

export function AlertDetail({ alertId, listed }: AlertDetailProps) {
  const all = useQuery({ ...alertsQuery({ limit: 200 }), enabled: listed === undefined });
  const alert = listed ?? all.data?.items.find((item) => item.alert_id === alertId);
  if (alert === undefined) {
    if (all.isPending) return <Loading what="the alert" />;
    if (all.isLoadingError) return <Failed error={all.error} />;
    return <Empty title="This alert is not among the newest 200." />;
  }
  return (
    <aside className="card card-body alert-detail" aria-label="Alert">
      <h2>{alert.message}</h2>
      <p>
        <span className={`badge badge-${alert.severity}`}>{alert.severity}</span> {ruleName(alert.rule)} ·{" "}
        {formatInstant(microsOf(alert.at))}
      </p>
      <h3>The numbers</h3>
      <dl className="facts">
        {Object.entries(alert.evidence).map(([name, value]) => (
          <div key={name} className="fact">
            <dt>{nameOf(name)}</dt>
            <dd>{evidenceText(name, value, alert.labels["unit"])}</dd>
          </div>
        ))}
        {Object.entries(alert.labels).map(([name, value]) => (
          <div key={name} className="fact">
            <dt>{nameOf(name)}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div className="page-actions">
        {alert.trace_id !== null && (
          <Link
            className="button button-main"
            to={`/traces/${encodeURIComponent(alert.trace_id)}${alert.span_id === null ? "" : `?span=${encodeURIComponent(alert.span_id)}`}`}
          >
            Show the step
          </Link>
        )}
        {alert.trace_id !== null && alert.evidence["median_trace_id"] !== undefined && (
          <Link className="button" to={`/compare/${encodeURIComponent(alert.evidence["median_trace_id"])}/${encodeURIComponent(alert.trace_id)}`}>
            Compare with the median run
          </Link>
        )}
        <button type="button" className="button" onClick={() => askTracy(`Why did this happen: ${alert.message}`)}>
          Ask Tracy
        </button>
      </div>
      <SeeTo alert={alert} />
    </aside>
  );
}

function SeeTo({ alert }: { readonly alert: AlertItem }) {
  const client = useQueryClient();
  const mayAct = useMay("operator");
  const [note, setNote] = useState("");
  const [minutes, setMinutes] = useState(60);
  const params = { path: { alert_id: alert.alert_id } };
  const act = useMutation({
    mutationFn: (what: "ack" | "unack" | "snooze" | "unsnooze") => {
      switch (what) {
        case "ack":
          return read(api.PUT("/v1/alerts/{alert_id}/ack", { params, body: { note: note.trim() || null } }));
        case "unack":
          return read(api.DELETE("/v1/alerts/{alert_id}/ack", { params }));
        case "snooze":
          return read(api.PUT("/v1/alerts/{alert_id}/snooze", { params, body: { minutes } }));
        case "unsnooze":
          return read(api.DELETE("/v1/alerts/{alert_id}/snooze", { params }));
      }
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["alerts"] }),
  });
  return (
    <section aria-label="See to it" className="see-to">
      {alert.is_acked && (
        <p>
          Seen to by {alert.acked_by}, {formatInstant(microsOf(alert.acked_at))}
          {alert.ack_note !== null && <>: {alert.ack_note}</>}
        </p>
      )}
      {alert.snoozed_until !== null && (
        <p>
          Quiet until {formatInstant(microsOf(alert.snoozed_until))}, said {alert.snoozed_by}
        </p>
      )}
      {!mayAct && <p className="soft">To see to alerts you need the role operator.</p>}
      {act.isError && <Failed error={act.error} />}
      {mayAct && (
        <>
          {alert.is_acked ? (
            <button type="button" className="button" disabled={act.isPending} onClick={() => act.mutate("unack")}>
              Not seen to after all
            </button>
          ) : (
            <div className="see-to-line">
              <label className="field">
                <span>What is done about it</span>
                <input className="input" maxLength={500} value={note} onChange={(event) => setNote(event.target.value)} />
              </label>
              <button type="button" className="button" disabled={act.isPending} onClick={() => act.mutate("ack")}>
                I see to it
              </button>
            </div>
          )}
          {alert.snoozed_until === null ? (
            <div className="see-to-line">
              <label className="field">
                <span>Be quiet for</span>
                <select className="input" value={minutes} onChange={(event) => setMinutes(Number(event.target.value))}>
                  {SNOOZES.map(([value, name]) => (
                    <option key={value} value={value}>
                      {name}
                    </option>
                  ))}
                </select>
              </label>
              <button type="button" className="button" disabled={act.isPending} onClick={() => act.mutate("snooze")}>
                Snooze
              </button>
            </div>
          ) : (
            <button type="button" className="button" disabled={act.isPending} onClick={() => act.mutate("unsnooze")}>
              Not quiet any more
            </button>
          )}
        </>
      )}
    </section>
  );
}
