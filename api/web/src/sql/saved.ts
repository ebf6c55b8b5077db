/**
 * Queries that are kept in this browser, and some to begin with.
 *
 * Upstream: the SQL page.
 * Downstream: localStorage.
 * Guarantee: a browser that keeps nothing still works; what another version wrote is passed over.
 */
export interface SavedQuery {
  readonly name: string;
  readonly sql: string;
}

const KEY = "clawtrace.sql.saved";

export const TABLES = ["traces", "spans", "events", "alerts", "cards", "edges", "agents"] as const;

export const EXAMPLES: readonly SavedQuery[] = [
  {
    name: "Dearest runs of the week",
    sql: "SELECT name, agent_id, cost_usd, started_at\nFROM traces\nWHERE trace_date >= current_date - INTERVAL '7' DAY\nORDER BY cost_usd DESC NULLS LAST\nLIMIT 20",
  },
  {
    name: "Cost by model and day",
    sql: "SELECT trace_date, model, count(*) AS calls, sum(cost_usd) AS cost_usd\nFROM spans\nWHERE kind = 'model_call'\nGROUP BY 1, 2\nORDER BY 1, 4 DESC",
  },
  {
    name: "Tools that fail",
    sql: "SELECT tool_name, count(*) AS calls, count_if(status = 'error') AS failed\nFROM spans\nWHERE kind = 'tool_call'\nGROUP BY 1\nORDER BY failed DESC, calls DESC",
  },
  {
    name: "Share of the cache",
    sql: "SELECT model, sum(cache_read_tokens) AS cache_read, sum(input_tokens) AS fresh, sum(cache_write_tokens) AS cache_write\nFROM spans\nWHERE kind = 'model_call'\nGROUP BY 1\nORDER BY 2 DESC",
  },
];

function isQuery(item: unknown): item is SavedQuery {
  const { name, sql } = (item ?? {}) as Partial<Record<keyof SavedQuery, unknown>>;
  return typeof name === "string" && typeof sql === "string";
}

export function savedQueries(): readonly SavedQuery[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(kept)) return [];
    return kept.filter(isQuery);
  } catch {
    return [];
  }
}

export function keepQueries(queries: readonly SavedQuery[]): boolean {
  try {
    localStorage.setItem(KEY, JSON.stringify(queries));
    return true;
  } catch {
    return false;
  }
}
