/**
 * What models cost: own prices, the published ones, and pricing the past again.
 *
 * Upstream: /v1/prices.
 * Downstream: `own_prices`; dry runs and their application.
 * Guarantee: the past keeps its cost until somebody has seen what would change and says so.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";

import { api, read } from "../api/client";
import { pricesQuery, type RepriceJob, repricesQuery } from "../api/queries";
import { errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatCount, formatInstant, formatUsd } from "../kit/format";
import { Empty, Failed, Listed } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { microsOf } from "../kit/tokens";
import { OwnPrices } from "./own_prices";

const ASK_EVERY_MS = 1_000;

export function Prices() {
  return (
    <div className="prices">
      <OwnPrices />
      <Reprices />
      <PublishedPrices />
    </div>
  );
}

function Reprices() {
  const client = useQueryClient();
  const jobs = useQuery({
    ...repricesQuery,
    refetchInterval: (query) => (query.state.data?.items.some((job) => job.state === "running") === true ? ASK_EVERY_MS : false),
  });
  const [since, setSince] = useState(() => new Date(Date.now() - 7 * 86_400_000).toISOString().slice(0, 10));
  const renew = () => client.invalidateQueries({ queryKey: repricesQuery.queryKey });
  const look = useMutation({
    mutationFn: () => read(api.POST("/v1/prices/reprices", { body: { since, reason: "prices were corrected" } })),
    onSuccess: renew,
  });
  const apply = useMutation({
    mutationFn: (jobId: string) => read(api.POST("/v1/prices/reprices/{job_id}/apply", { params: { path: { job_id: jobId } } })),
    onSuccess: renew,
  });
  const newest = jobs.data?.items[0];
  return (
    <section className="page-section" aria-labelledby="reprices">
      <h2 id="reprices">Price the past again</h2>
      <Form className="filters" onSend={() => look.mutate()}>
        <TextField label="Calls since" type="date" required value={since} error={errorOf(look.error, "since")} onText={setSince} />
        <button type="submit" className="button" disabled={look.isPending}>
          See what would change
        </button>
      </Form>
      <FormProblem error={look.error ?? apply.error} fields={["since"]} />
      {jobs.isLoadingError && <Failed error={jobs.error} onRetry={() => void jobs.refetch()} />}
      {newest !== undefined && <JobView job={newest} isApplying={apply.isPending} onApply={() => apply.mutate(newest.job_id)} />}
    </section>
  );
}

interface JobViewProps {
  readonly job: RepriceJob;
  readonly isApplying: boolean;
  readonly onApply: () => void;
}

function JobView({ job, isApplying, onApply }: JobViewProps) {
  const isDry = job.kind === "dry_run";
  return (
    <div className="card card-body page-section" role="status">
      <p>
        <span className={`badge ${job.state === "running" ? "badge-running" : job.state === "failed" ? "badge-error" : ""}`}>{job.state}</span>{" "}
        {isDry ? "What would change" : "Priced again"}, {job.since} to {job.until}: {formatCount(job.num_calls_changed)} of {formatCount(job.num_calls_read)} calls, from{" "}
        {formatUsd(job.was_usd)} to {formatUsd(job.now_usd)}
        <span className="soft">
          {" "}
          · {job.started_by}, {formatInstant(microsOf(job.started_at))}
        </span>
      </p>
      {job.error !== "" && <p className="field-error">{job.error}</p>}
      {job.models.length > 0 && (
        <ul className="plain-list">
          {job.models.map((model) => (
            <li key={model.model}>
              <span className="mono">{model.model}</span> {formatCount(model.num_calls)} calls: {formatUsd(model.was_usd)} → {formatUsd(model.now_usd)}
              {model.num_were_unpriced > 0 && <span className="soft">{formatCount(model.num_were_unpriced)} had no price</span>}
            </li>
          ))}
        </ul>
      )}
      {isDry && job.state === "done" && job.num_calls_changed > 0 && (
        <p>
          <button type="button" className="button button-main" disabled={isApplying} onClick={onApply}>
            Price them again
          </button>
        </p>
      )}
    </div>
  );
}

function PublishedPrices() {
  const [model, setModel] = useState("");
  const asked = useDeferredValue(model);
  const prices = useQuery(pricesQuery(asked.trim()));
  return (
    <section className="page-section" aria-labelledby="all-prices">
      <h2 id="all-prices">Prices that hold today</h2>
      <div className="filters" role="search" aria-label="Prices">
        <label className="field wide">
          <span>Model</span>
          <input className="input" data-search value={model} maxLength={256} onChange={(event) => setModel(event.target.value)} />
        </label>
      </div>
      {prices.data !== undefined && prices.data.num_found > prices.data.items.length && (
        <p className="soft">
          The first {formatCount(prices.data.items.length)} of {formatCount(prices.data.num_found)}.
        </p>
      )}
      <Listed asked={prices} what="prices" empty={<Empty title="No price is known for this.">Its calls have no cost until you write one down.</Empty>}>
        {(items) => (
          <Table label="Prices" caption="Prices in dollars per million tokens" columns={["Model", ...numbers("Fresh input", "Cache read", "Cache write", "Output"), "From"]}>
            {items.map((price) => (
              <tr key={price.price_id + price.model}>
                <td className="mono">
                  {price.provider}/{price.model}
                </td>
                {[price.input, price.cache_read, price.cache_write, price.output].map((rate, at) => (
                  <td key={at} className="num">
                    {formatUsd(rate)}
                  </td>
                ))}
                <td>{price.is_override ? <span className="badge">written down</span> : <span className="soft mono">{price.price_id}</span>}</td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
    </section>
  );
}
