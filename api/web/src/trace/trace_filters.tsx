/**
 * Filters over traces, saved in the address.
 *
 * Upstream: the address.
 * Downstream: the pages of traces and of an agent.
 * Guarantee: what the address says that the API would refuse is left out, so a mistyped link still shows traces.
 */
import { useEffect, useRef, useState } from "react";
import { useLocation } from "react-router";

import type { TraceQuery } from "../api/queries";
import { Form } from "../kit/form";
import { RANGE_NAMES, type Range, rangeOf, windowOf } from "../kit/time_range";
import type { UrlState } from "../kit/url_state";
import { SORTS } from "./trace_table";

const STATUSES = ["running", "ok", "error", "blocked", "incomplete"] as const;
const CATEGORIES = ["work", "heartbeat", "memory"] as const;
const PAGE_TRACES = 50;
const FILTERS = ["text", "status", "category", "model", "tool", "min_cost_usd", "has_error", "session"] as const;

function oneOf<Value extends string>(values: readonly Value[], text: string | undefined): Value | undefined {
  return values.find((value) => value === text);
}

/** The question to the API that an address stands for. */
export function traceQueryOf(get: UrlState["get"], range: Range, agentId?: string): TraceQuery {
  const orders = Object.values(SORTS).flatMap((column) => [column, `-${column}`] as const);
  const leastUsd = Number(get("min_cost_usd"));
  const query: TraceQuery = { ...windowOf(range), limit: PAGE_TRACES, sort: oneOf(orders, get("sort")) ?? "-started_at" };
  const status = oneOf(STATUSES, get("status"));
  const category = oneOf(CATEGORIES, get("category"));
  if (status !== undefined) query.status = status;
  if (category !== undefined) query.category = category;
  for (const name of ["text", "model", "tool"] as const) {
    const value = get(name);
    if (value !== undefined) query[name] = value;
  }
  if (get("session") !== undefined) query.session_key = get("session")!;
  if (get("min_cost_usd") !== undefined && leastUsd >= 0) query.min_cost_usd = leastUsd;
  if (get("has_error") === "1") query.has_error = true;
  if (agentId !== undefined) query.agent_id = agentId;
  return query;
}

interface TraceFiltersProps {
  readonly url: UrlState;
  readonly hasRange?: boolean;
}

export function TraceFilters({ url, hasRange = true }: TraceFiltersProps) {
  const { get, set } = url;
  const isFiltered = FILTERS.some((name) => get(name) !== undefined);
  return (
    <div className="filters" role="search" aria-label="Traces">
      <TextField name="text" label="Name or error" url={url} isSearch />
      {hasRange && <RangeField url={url} />}
      <label className="field">
        <span>Status</span>
        <select className="input" value={get("status") ?? ""} onChange={(event) => set({ status: event.target.value })}>
          <option value="">Any</option>
          {STATUSES.map((status) => (
            <option key={status}>{status}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Kind</span>
        <select
          className="input"
          value={get("category") ?? ""}
          onChange={(event) => set({ category: event.target.value })}
        >
          <option value="">Any</option>
          {CATEGORIES.map((category) => (
            <option key={category}>{category}</option>
          ))}
        </select>
      </label>
      <TextField name="model" label="Model" url={url} />
      <TextField name="tool" label="Tool" url={url} />
      <TextField name="min_cost_usd" label="From $" url={url} isNumber />
      <label className="check">
        <input
          type="checkbox"
          checked={get("has_error") === "1"}
          onChange={(event) => set({ has_error: event.target.checked ? "1" : undefined })}
        />
        With failed steps
      </label>
      {isFiltered && (
        <button
          type="button"
          className="button button-quiet"
          onClick={() => set(Object.fromEntries(FILTERS.map((name) => [name, undefined])))}
        >
          Clear
        </button>
      )}
    </div>
  );
}

export function RangeField({ url, fallback = "7d" }: { readonly url: UrlState; readonly fallback?: Range }) {
  return (
    <label className="field">
      <span>Time</span>
      <select
        className="input"
        value={rangeOf(url.get("range"), fallback)}
        onChange={(event) => url.set({ range: event.target.value === fallback ? undefined : event.target.value })}
      >
        {Object.entries(RANGE_NAMES).map(([range, name]) => (
          <option key={range} value={range}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface TextFieldProps {
  readonly name: string;
  readonly label: string;
  readonly url: UrlState;
  readonly isSearch?: boolean;
  readonly isNumber?: boolean;
}

/** Applied with Enter or when the field is left: each letter would be a question to the tables. */
function TextField({ name, label, url, isSearch = false, isNumber = false }: TextFieldProps) {
  const kept = url.get(name) ?? "";
  const [typed, setTyped] = useState(kept);
  const [seen, setSeen] = useState(kept);
  if (seen !== kept) {
    setSeen(kept);
    setTyped(kept);
  }
  // "/" on a page that has nothing to search in leads here.
  const field = useRef<HTMLInputElement>(null);
  const from = useLocation().state as { isSearch?: boolean } | null;
  const isWanted = isSearch && from?.isSearch === true;
  useEffect(() => {
    if (isWanted) field.current?.focus();
  }, [isWanted]);
  const apply = () => {
    if (typed.trim() !== kept) url.set({ [name]: typed.trim() });
  };
  return (
    <Form className={isSearch ? "field wide" : "field"} onSend={apply}>
      <label className="field">
        <span>{label}</span>
        <input
          ref={field}
          className="input"
          type={isSearch ? "search" : "text"}
          inputMode={isNumber ? "decimal" : undefined}
          size={isNumber ? 6 : 12}
          data-search={isSearch || undefined}
          maxLength={200}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          onBlur={apply}
        />
      </label>
    </Form>
  );
}
