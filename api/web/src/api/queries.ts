/**
 * What the pages ask the API, each question with its key in the cache.
 *
 * Upstream: `client`.
 * Downstream: the pages.
 * Guarantee: one question has one key, so two parts of a page that ask it share one request.
 */
import { infiniteQueryOptions, keepPreviousData, QueryClient, queryOptions } from "@tanstack/react-query";

import { api, Problem, read } from "./client";
import type { components, operations } from "./schema";

type Schemas = components["schemas"];
export type TraceSummary = Schemas["TraceSummary"];
export type TraceSkeleton = Schemas["TraceSkeleton"];
export type TraceTimeline = Schemas["TraceTimeline"];
export type TraceGraph = Schemas["TraceGraph"];
export type ScoreItem = Schemas["ScoreItem"];
export type SpanDetail = Schemas["SpanDetail"];
export type AgentItem = Schemas["AgentItem"];
export type AlertItem = Schemas["AlertItem"];
export type Figures = Schemas["Figures"];
export type TrendPoint = Schemas["TrendPoint"];
export type SqlAnswer = Schemas["SqlAnswer"];
export type WhyItem = Schemas["WhyItem"];
export type WhyReason = Schemas["WhyReason"]["reason"];
export type RereadTool = Schemas["RereadTool"];
export type CacheBreak = Schemas["CacheBreakItem"];
export type DiffItem = Schemas["DiffItem"];
export type TokensByKind = Schemas["Tokens"];
export type SignedIn = Schemas["SessionAnswer"];
export type KeyScope = Schemas["KeyRequest"]["scope"];
export type Role = Schemas["Me"]["role"];
export type RuleItem = Schemas["RuleItem"];
export type RuleSetting = Schemas["RuleSetting"];
export type BudgetItem = Schemas["BudgetItem"];
export type BudgetRequest = Schemas["BudgetRequest"];
export type ChannelItem = Schemas["ChannelItem"];
export type ChannelRequest = Schemas["ChannelRequest"];
export type GuardPolicy = Schemas["GuardPolicyItem"];
export type VerdictItem = Schemas["VerdictItem"];
export type PriceItem = Schemas["PriceItem"];
export type PriceDetail = Schemas["PriceDetail"];
export type PriceOverride = Schemas["PriceOverrideItem"];
export type RepriceJob = Schemas["RepriceJob"];
export type RetentionItem = Schemas["RetentionItem"];
export type ErasureJob = Schemas["ErasureJob"];
export type TraceQuery = NonNullable<operations["list_traces_v1_traces_get"]["parameters"]["query"]>;
export type AlertQuery = NonNullable<operations["list_alerts_v1_alerts_get"]["parameters"]["query"]>;

/** A window of time, as the API takes it; both ends may be open. */
export interface TimeWindow {
  readonly from?: string;
  readonly to?: string;
}

export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 15_000,
        refetchOnWindowFocus: true,
        // ClawTrace may run on this machine: no network is no reason not to ask.
        networkMode: "always",
        // What is refused is refused again; only a server that is away or busy is asked once more.
        retry: (failures, error) => failures < 2 && error instanceof Problem && [0, 429, 503].includes(error.status),
      },
      mutations: { networkMode: "always" },
    },
  });
}

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: () => read(api.GET("/v1/session")),
  staleTime: 60_000,
  retry: false,
});

export const tracesQuery = (query: TraceQuery) =>
  queryOptions({
    queryKey: ["traces", query],
    queryFn: ({ signal }) => read(api.GET("/v1/traces", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

/** Traces page by page. */
export const tracePagesQuery = (query: TraceQuery) =>
  infiniteQueryOptions({
    queryKey: ["traces", "pages", query],
    queryFn: ({ pageParam, signal }) =>
      read(api.GET("/v1/traces", { params: { query: pageParam === null ? query : { cursor: pageParam, limit: query.limit ?? 50 } }, signal })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
  });

export const skeletonQuery = (traceId: string, refetchMs: number | false = false) =>
  queryOptions({
    queryKey: ["skeleton", traceId],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/traces/{trace_id}/skeleton", { params: { path: { trace_id: traceId } }, signal })),
    // Columns of 50,000 spans: comparing them with what was there costs more than drawing them again.
    structuralSharing: false,
    refetchInterval: (query) => (query.state.data?.trace.is_open === true ? refetchMs : false),
  });

export const timelineQuery = (traceId: string, numSpans: number) =>
  queryOptions({
    queryKey: ["timeline", traceId, numSpans],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/traces/{trace_id}/timeline", { params: { path: { trace_id: traceId } }, signal })),
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });

export const graphQuery = (traceId: string, numSpans: number) =>
  queryOptions({
    queryKey: ["graph", traceId, numSpans],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/traces/{trace_id}/graph", { params: { path: { trace_id: traceId } }, signal })),
    placeholderData: keepPreviousData,
  });

export const scoresQuery = (traceId: string, agentId: string) =>
  queryOptions({
    queryKey: ["scores", traceId, agentId],
    queryFn: ({ signal }) =>
      read(
        api.GET("/v1/traces/{trace_id}/scores", {
          params: { path: { trace_id: traceId }, query: { agent_id: agentId } },
          signal,
        }),
      ),
  });

/** One span; the payloads are read apart, in stretches. */
export const spanQuery = (traceId: string, spanId: string) =>
  queryOptions({
    queryKey: ["span", traceId, spanId],
    queryFn: ({ signal }) =>
      read(
        api.GET("/v1/traces/{trace_id}/spans/{span_id}", {
          params: { path: { trace_id: traceId, span_id: spanId } },
          signal,
        }),
      ),
  });

export const diffQuery = (beforeId: string, afterId: string) =>
  queryOptions({
    queryKey: ["diff", beforeId, afterId],
    queryFn: ({ signal }) =>
      read(
        api.GET("/v1/traces/{trace_id}/diff/{other_id}", {
          params: { path: { trace_id: beforeId, other_id: afterId }, query: { limit: 200 } },
          signal,
        }),
      ),
  });

export const whyQuery = (traceId: string) =>
  queryOptions({
    queryKey: ["why", traceId],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/traces/{trace_id}/why", { params: { path: { trace_id: traceId }, query: { limit: 50 } }, signal })),
  });

export const rereadQuery = (traceId: string) =>
  queryOptions({
    queryKey: ["reread", traceId],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/traces/{trace_id}/reread", { params: { path: { trace_id: traceId }, query: { limit: 50 } }, signal })),
  });

export const agentsQuery = (window: TimeWindow) =>
  queryOptions({
    queryKey: ["agents", window],
    queryFn: ({ signal }) => read(api.GET("/v1/agents", { params: { query: window }, signal })),
    placeholderData: keepPreviousData,
  });

export const agentMetricsQuery = (agentId: string, window: TimeWindow) =>
  queryOptions({
    queryKey: ["agent-metrics", agentId, window],
    queryFn: ({ signal }) =>
      read(
        api.GET("/v1/agents/{agent_id}/metrics", { params: { path: { agent_id: agentId }, query: window }, signal }),
      ),
    placeholderData: keepPreviousData,
  });

export const agentTrendsQuery = (agentId: string, window: TimeWindow, bucket: "hour" | "day") =>
  queryOptions({
    queryKey: ["agent-trends", agentId, window, bucket],
    queryFn: ({ signal }) =>
      read(
        api.GET("/v1/agents/{agent_id}/trends", {
          params: { path: { agent_id: agentId }, query: { ...window, bucket } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const usageQuery = (by: "day" | "agent" | "category" | "session" | "model" | "tool", window: TimeWindow) =>
  queryOptions({
    queryKey: ["usage", by, window],
    queryFn: ({ signal }) => read(api.GET("/v1/usage", { params: { query: { by, ...window } }, signal })),
    placeholderData: keepPreviousData,
  });

export const alertsQuery = (query: AlertQuery) =>
  queryOptions({
    queryKey: ["alerts", query],
    queryFn: ({ signal }) => read(api.GET("/v1/alerts", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

/** Alerts page by page. */
export const alertPagesQuery = (query: AlertQuery) =>
  infiniteQueryOptions({
    queryKey: ["alerts", "pages", query],
    queryFn: ({ pageParam, signal }) =>
      read(api.GET("/v1/alerts", { params: { query: pageParam === null ? query : { cursor: pageParam, limit: query.limit ?? 50 } }, signal })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
  });

export const rulesQuery = (agentId: string | undefined) =>
  queryOptions({
    queryKey: ["rules", agentId],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/rules", { params: { query: agentId === undefined ? {} : { agent_id: agentId } }, signal })),
    placeholderData: keepPreviousData,
  });

export const budgetsQuery = queryOptions({ queryKey: ["budgets"], queryFn: ({ signal }) => read(api.GET("/v1/budgets", { signal })) });
export const channelsQuery = queryOptions({ queryKey: ["channels"], queryFn: ({ signal }) => read(api.GET("/v1/channels", { signal })) });

/** What agents were told, the newest first; of all agents, or of one. */
export const verdictsQuery = (agentId?: string) =>
  queryOptions({
    queryKey: ["verdicts", agentId],
    queryFn: ({ signal }) =>
      read(api.GET("/v1/verdicts", { params: { query: { limit: 100, ...(agentId === undefined ? {} : { agent_id: agentId }) } }, signal })),
  });

export const guardQuery = (agentId: string) =>
  queryOptions({
    queryKey: ["guard", agentId],
    queryFn: ({ signal }) => read(api.GET("/v1/agents/{agent_id}/guard", { params: { path: { agent_id: agentId } }, signal })),
  });

export const pricesQuery = (model: string) =>
  queryOptions({
    queryKey: ["prices", model],
    queryFn: ({ signal }) => read(api.GET("/v1/prices", { params: { query: { model, limit: 100 } }, signal })),
    placeholderData: keepPreviousData,
  });

/** The price of a model at an instant. */
export const priceQuery = (provider: string, model: string, at: string) =>
  queryOptions({
    queryKey: ["price", provider, model, at],
    queryFn: ({ signal }) => read(api.GET("/v1/prices/lookup", { params: { query: { provider, model, at } }, signal })),
    staleTime: Infinity,
  });

export const overridesQuery = queryOptions({
  queryKey: ["price-overrides"],
  queryFn: ({ signal }) => read(api.GET("/v1/prices/overrides", { signal })),
});

export const repricesQuery = queryOptions({
  queryKey: ["reprices"],
  queryFn: ({ signal }) => read(api.GET("/v1/prices/reprices", { signal })),
});

export const retentionQuery = queryOptions({
  queryKey: ["retention"],
  queryFn: ({ signal }) => read(api.GET("/v1/retention", { params: { query: { count: true } }, signal })),
});

export const erasuresQuery = queryOptions({
  queryKey: ["erasures"],
  queryFn: ({ signal }) => read(api.GET("/v1/erasures", { signal })),
});

export const conversationsQuery = queryOptions({
  queryKey: ["tracy-sessions"],
  queryFn: ({ signal }) => read(api.GET("/v1/tracy/sessions", { params: { query: { limit: 50 } }, signal })),
});

export const keysQuery = queryOptions({ queryKey: ["keys"], queryFn: () => read(api.GET("/v1/keys")) });
export const membersQuery = queryOptions({ queryKey: ["members"], queryFn: () => read(api.GET("/v1/members")) });
export const auditQuery = queryOptions({
  queryKey: ["audit"],
  queryFn: () => read(api.GET("/v1/audit", { params: { query: { limit: 50 } } })),
});

// Nothing else than JSON is asked for here; the document names the other forms of the same answer too.
export const askSql = (sql: string, signal?: AbortSignal): Promise<SqlAnswer> =>
  read(api.POST("/v1/sql", { body: { sql }, ...(signal === undefined ? {} : { signal }) })) as Promise<SqlAnswer>;

export const columnsQuery = (table: string) =>
  queryOptions({
    queryKey: ["columns", table],
    queryFn: async () => (await askSql(`SELECT * FROM ${table} LIMIT 0`)).columns,
    staleTime: Infinity,
  });
