/**
 * What models cost: own prices, the published ones, and pricing the past again.
 *
 * Upstream: /v1/prices.
 * Downstream: PUT and DELETE of an own price; dry runs and their application.
 * Guarantee: the past keeps its cost until somebody has seen what would change and says so.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";

import { api, read } from "../api/client";
import { overridesQuery, type PriceOverride, pricesQuery, type RepriceJob, repricesQuery } from "../api/queries";
import { errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatCount, formatInstant, formatUsd } from "../kit/format";
import { Empty, Failed, Listed } from "../kit/states";
import { numbers, Table } from "../kit/table";
import { microsOf } from "../kit/tokens";

const RATES = [
  ["input_usd_per_mtok", "Fresh input"],
  ["output_usd_per_mtok", "Output"],
  ["cache_read_usd_per_mtok", "Cache read"],
  ["cache_write_usd_per_mtok", "Cache write"],
] as const;
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

function OwnPrices() {
  const client = useQueryClient();
  const own = useQuery(overridesQuery);
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const renew = () => Promise.all([client.invalidateQueries({ queryKey: overridesQuery.queryKey }), client.invalidateQueries({ queryKey: ["prices"] })]);
  const put = useMutation({
    mutationFn: () => {
      const typed = Object.fromEntries(Object.entries(texts).filter(([, text]) => text.trim() !== "").map(([name, text]) => [name, text.trim()]));
      return read(api.PUT("/v1/prices/overrides", { body: typed as never }));
    },
    onSuccess: () => {
      setTexts({});
      return renew();
    },
  });
  const remove = useMutation({
    mutationFn: ({ provider, model, effective_from }: PriceOverride) =>
      read(api.DELETE("/v1/prices/overrides", { params: { query: { provider, model, ...(effective_from ? { effective_from } : {}) } } })),
    onSuccess: renew,
  });
  const field = (name: string, label: string, more: { hint?: string; required?: boolean; type?: string } = {}) => (
    <TextField key={name} label={label} value={texts[name] ?? ""} error={errorOf(put.error, name)} onText={(text) => setTexts({ ...texts, [name]: text })} {...more} />
  );
  return (
    <section className="page-section" aria-labelledby="own-prices">
      <h2 id="own-prices">Your own prices</h2>
      <p className="soft">In dollars per million tokens; they win over the published ones, for calls from now on.</p>
      <Form onSend={() => put.mutate()}>
        {field("provider", "Provider", { required: true, hint: "as OpenClaw names it" })}
        {field("model", "Model", { required: true, hint: "* for all of the provider" })}
        {RATES.map(([name, label], at) => field(name, label, at < 2 ? { required: true } : { hint: "empty: as fresh input" }))}
        {field("effective_from", "First day", { type: "date", hint: "empty: always" })}
        {field("source", "Where it is from")}
        <div className="form-whole">
          <FormProblem error={put.error ?? remove.error} fields={["provider", "model", "effective_from", "source", ...RATES.map(([name]) => name)]} />
          <button type="submit" className="button button-main" disabled={put.isPending}>
            Write the price down
          </button>
        </div>
      </Form>
      <Listed asked={own} what="prices" empty={<Empty title="No price was written down." />}>
        {(items) => (
          <Table label="Own prices" columns={["Model", ...numbers(...RATES.map(([, label]) => label)), "Holds", "Whose"]}>
            {items.map((price) => (
              <tr key={`${price.provider} ${price.model} ${price.effective_from} ${price.is_own}`}>
                <td className="mono">
                  {price.provider}/{price.model}
                </td>
                {RATES.map(([name]) => (
                  <td key={name} className="num">
                    {formatUsd(price[name] ?? price.input_usd_per_mtok)}
                  </td>
                ))}
                <td>{price.effective_from === null || price.effective_from === undefined ? "always" : `from ${price.effective_from}`}</td>
                <td>
                  {price.is_own ? (
                    <button type="button" className="button button-small" aria-label={`Take back ${price.provider}/${price.model}`} disabled={remove.isPending} onClick={() => remove.mutate(price)}>
                      Take back
                    </button>
                  ) : (
                    <span className="soft">the install's</span>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
    </section>
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
      {jobs.isError && <Failed error={jobs.error} onRetry={() => void jobs.refetch()} />}
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
