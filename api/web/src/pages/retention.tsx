/**
 * How long rows stay, and what is erased for good.
 *
 * Upstream: /v1/retention, /v1/erasures.
 * Downstream: PUT and DELETE of a table's days; POST of an erasure of a trace or a session.
 * Guarantee: what deletes rows is asked for first; a receipt says what was erased, and what is left until when.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { type ErasureJob, erasuresQuery, type RetentionItem, retentionQuery } from "../api/queries";
import { Confirm } from "../kit/dialog";
import { ChoiceField, errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatCount, formatInstant } from "../kit/format";
import { Empty, Failed, Listed, Loading } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { microsOf } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";

const RENEW_MS = 2_000;
const SCOPES = [
  ["trace", "a trace"],
  ["session", "a session with all its traces"],
] as const;
const FIELDS = ["scope", "id", "agent_id", "reason"];

export function Retention() {
  return (
    <div className="page-section">
      <Days />
      <Erasures />
    </div>
  );
}

function Days() {
  const retention = useQuery(retentionQuery);
  return (
    <section className="page-section" aria-labelledby="retention">
      <h2 id="retention">How long rows stay</h2>
      <p className="soft">Rows whose day (UTC) is longer ago are deleted for good; what still runs is kept.</p>
      {retention.isPending && <Loading what="how long rows stay" />}
      {retention.isLoadingError && <Failed error={retention.error} onRetry={() => void retention.refetch()} />}
      {retention.data !== undefined && (
        <Table label="Retention" columns={["Table", "Days", ...numbers("At first", "Older rows now"), { name: "What can be done", isHidden: true }]}>
          {retention.data.tables.map((item) => (
            <DaysRow key={item.table} item={item} min={retention.data.min_days} max={retention.data.max_days} />
          ))}
        </Table>
      )}
    </section>
  );
}

interface DaysRowProps {
  readonly item: RetentionItem;
  readonly min: number;
  readonly max: number;
}

function DaysRow({ item, min, max }: DaysRowProps) {
  const client = useQueryClient();
  const { table, days, default_days, is_own, num_rows_older } = item;
  const [typed, setTyped] = useState<string>();
  const [asked, setAsked] = useState<number>();
  const params = { path: { table } };
  const done = () => {
    setTyped(undefined);
    setAsked(undefined);
    return client.invalidateQueries({ queryKey: retentionQuery.queryKey });
  };
  const put = useMutation({ mutationFn: (wanted: number) => read(api.PUT("/v1/retention/{table}", { params, body: { days: wanted } })), onSuccess: done });
  const takeBack = useMutation({ mutationFn: () => read(api.DELETE("/v1/retention/{table}", { params })), onSuccess: done });
  const wanted = Number(typed);
  const isShorter = (next: number) => next < days;
  const apply = (next: number) => (next === default_days ? takeBack.mutate() : put.mutate(next));
  const want = (next: number) => (isShorter(next) ? setAsked(next) : apply(next));
  const failed = put.error ?? takeBack.error;
  return (
    <tr>
      <td className="mono">{table}</td>
      <td>
        <Form className="days" onSend={() => want(wanted)}>
          <input className="input" type="number" required min={min} max={max} step={1} aria-label={`Days of ${table}`} value={typed ?? String(days)} onChange={(event) => setTyped(event.target.value)} />
          {typed !== undefined && wanted !== days && (
            <button type="submit" className="button button-small button-main" disabled={put.isPending || takeBack.isPending}>
              Save
            </button>
          )}
        </Form>
        {failed !== null && asked === undefined && <small className="field-error">{failed.message}</small>}
      </td>
      <td className="num">{formatCount(default_days)}</td>
      <td className="num">{formatCount(num_rows_older)}</td>
      <td>
        {is_own && (
          <button type="button" className="button button-small" aria-label={`Take back what is set for ${table}`} onClick={() => want(default_days)}>
            As at first
          </button>
        )}
        <Confirm
          title={`Keep ${table} for ${asked} ${asked === 1 ? "day" : "days"}?`}
          act="Delete what is older"
          isOpen={asked !== undefined}
          isPending={put.isPending || takeBack.isPending}
          error={failed}
          onConfirm={() => asked !== undefined && apply(asked)}
          onClose={() => setAsked(undefined)}
        >
          Rows of <code>{table}</code> that are older are deleted for good with the next turn of upkeep.
        </Confirm>
      </td>
    </tr>
  );
}

function Erasures() {
  const client = useQueryClient();
  const { get } = useUrlState();
  const erasures = useQuery({
    ...erasuresQuery,
    refetchInterval: (query) => (query.state.data?.items.some(({ state }) => state === "asked" || state === "running") === true ? RENEW_MS : false),
  });
  const [scope, setScope] = useState<"trace" | "session">(get("session") === undefined ? "trace" : "session");
  const [id, setId] = useState(get("session") ?? get("trace") ?? "");
  const [agent, setAgent] = useState("");
  const [reason, setReason] = useState("");
  const [isAsked, setAsked] = useState(false);
  const erase = useMutation({
    mutationFn: () => read(api.POST("/v1/erasures", { body: { scope, id: id.trim(), reason: reason.trim(), ...(agent.trim() === "" ? {} : { agent_id: agent.trim() }) } })),
    onSuccess: () => {
      setId("");
      setReason("");
      // What was erased is in no answer any more.
      return client.invalidateQueries();
    },
    onSettled: () => setAsked(false),
  });
  return (
    <section className="page-section" aria-labelledby="erasures">
      <h2 id="erasures">Erase for good</h2>
      <p className="soft">From tables, snapshots and stored payloads. There is no way back.</p>
      <Form onSend={() => setAsked(true)}>
        <ChoiceField label="Erase" value={scope} choices={SCOPES} error={errorOf(erase.error, "scope")} onChoice={setScope} />
        <TextField label={scope === "trace" ? "Trace id" : "Session key or id"} required maxLength={512} value={id} error={errorOf(erase.error, "id")} onText={setId} />
        <TextField label="Only of the install" hint="empty: of all of them" value={agent} error={errorOf(erase.error, "agent_id")} onText={setAgent} />
        <TextField label="Why" hint="kept with the receipt" maxLength={500} value={reason} error={errorOf(erase.error, "reason")} onText={setReason} />
        <div className="form-whole">
          <FormProblem error={erase.error} fields={FIELDS} />
          <button type="submit" className="button button-danger" disabled={erase.isPending}>
            Erase …
          </button>
        </div>
      </Form>
      <Confirm title={`Erase this ${scope}?`} act="Erase it for good" isOpen={isAsked} isPending={erase.isPending} error={null} onConfirm={() => erase.mutate()} onClose={() => setAsked(false)}>
        Everything of <code>{id.trim()}</code> is deleted, and nothing of it is taken in again. There is no way back.
      </Confirm>
      <Listed asked={erasures} what="erasures" empty={<Empty title="Nothing was erased yet." />}>
        {(items) => (
          <ul className="plain-list page-section" aria-label="Erasures">
            {items.map((job) => (
              <li key={job.erasure_id} className="card card-body page-section">
                <Erasure job={job} />
              </li>
            ))}
          </ul>
        )}
      </Listed>
    </section>
  );
}

const BADGES: Readonly<Record<ErasureJob["state"], string>> = { asked: "badge-running", running: "badge-running", done: "badge-ok", failed: "badge-error" };

function Erasure({ job }: { readonly job: ErasureJob }) {
  const { receipt } = job;
  return (
    <>
      <p>
        <span className={`badge ${BADGES[job.state]}`} role="status">
          {job.state}
        </span>{" "}
        {job.scope} <code>{job.id}</code>
        {job.agent_id !== null && ` of ${job.agent_id}`}
        <span className="soft">
          {" "}
          by {job.asked_by}, {formatInstant(microsOf(job.asked_at))}
          {job.reason !== "" && `: ${job.reason}`}
          {job.step !== "" && ` · ${job.step}`}
        </span>
      </p>
      {job.error !== "" && <p className="field-error">{job.error}</p>}
      {receipt !== null && (
        <details>
          <summary>
            Receipt: {formatCount(receipt.num_traces)} {receipt.num_traces === 1 ? "trace" : "traces"}, {formatCount(receipt.num_rows_left)} rows left, {formatInstant(microsOf(receipt.finished_at))}
          </summary>
          <pre className="secret">{JSON.stringify(receipt, null, 2)}</pre>
        </details>
      )}
    </>
  );
}
