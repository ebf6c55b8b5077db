/**
 * What the stream told lately: runs, alerts and verdicts that the tables may not hold yet.
 *
 * Upstream: GET /v1/live.
 * Downstream: the overview, the pages of agents.
 * Guarantee: pure but for the hook; what was told is forgotten after KEEP_MS, when the tables know it better.
 */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { useLive } from "../api/live";
import type { AgentItem, AlertItem, TraceSummary } from "../api/queries";
import type { ServerEvent } from "../kit/events";
import { haltedAgents, type Word } from "../watch/guard_words";

/** The sink commits every few seconds; this is many times that. */
export const KEEP_MS = 120_000;
const STORED_WITHIN_MS = 20_000;
/** How long sums may be behind a run that told of itself: a commit of the sink, and not more questions than people can read. */
const SUMMED_WITHIN_MS = 5_000;

export type AlertLine = Pick<AlertItem, "alert_id" | "severity" | "message" | "at" | "state">;

interface Told<T> {
  readonly value: T;
  readonly toldMs: number;
}

export interface LiveNow {
  readonly traces: ReadonlyMap<string, Told<TraceSummary>>;
  readonly alerts: ReadonlyMap<string, Told<AlertLine>>;
  readonly words: ReadonlyMap<string, Told<Word>>;
}

export const NOTHING_TOLD: LiveNow = { traces: new Map(), alerts: new Map(), words: new Map() };

export function withEvents(before: LiveNow, events: readonly ServerEvent[], nowMs: number): LiveNow {
  const traces = new Map(recent(before.traces, nowMs));
  const alerts = new Map(recent(before.alerts, nowMs));
  const words = new Map(recent(before.words, nowMs));
  for (const { event, data } of events) {
    if (event === "trace") {
      const value = JSON.parse(data) as TraceSummary;
      traces.set(value.trace_id, { value, toldMs: nowMs });
    } else if (event === "alert") {
      const value = JSON.parse(data) as AlertLine;
      alerts.set(value.alert_id, { value, toldMs: nowMs });
    } else if (event === "verdict") {
      const value = JSON.parse(data) as Word;
      words.set(`${value.agent_id} ${value.verdict_id}`, { value, toldMs: nowMs });
    }
  }
  return { traces, alerts, words };
}

/** Listen as long as the page is shown; `sums` are the keys of what is asked for again when a run told of itself. */
export function useLiveNow(sums: readonly (readonly unknown[])[]): LiveNow {
  const [now, setNow] = useState(NOTHING_TOLD);
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  useLive({ kinds: ["trace", "alert", "verdict"] }, true, (events) => {
    setNow((before) => withEvents(before, events, Date.now()));
    if (!events.some(({ event }) => event === "trace")) return;
    // Not with each event of a busy stream: once, when the tables hold what was told.
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      for (const queryKey of sums) void client.invalidateQueries({ queryKey });
    }, SUMMED_WITHIN_MS);
  });
  return now;
}

/** The newest runs, each as it was told last; the tables have the last word about one that ended. */
export function newestRuns(read: readonly TraceSummary[], live: LiveNow, num: number, nowMs: number): TraceSummary[] {
  const byId = valuesById(live.traces, nowMs);
  for (const trace of read) if (!trace.is_open || !byId.has(trace.trace_id)) byId.set(trace.trace_id, trace);
  return [...byId.values()].sort((left, right) => right.started_at.localeCompare(left.started_at)).slice(0, num);
}

/** Open alerts, the newest first; what was read well after it was told has the last word, as somebody may see to it. */
export function openAlerts(read: readonly AlertItem[], readMs: number, live: LiveNow, num: number): AlertLine[] {
  const byId = new Map<string, AlertLine>(read.map((alert) => [alert.alert_id, alert]));
  for (const [alertId, { value, toldMs }] of live.alerts) {
    if (value.state === "ok") byId.delete(alertId);
    else if (readMs - toldMs < STORED_WITHIN_MS) byId.set(alertId, value);
  }
  return [...byId.values()].sort((left, right) => right.at.localeCompare(left.at)).slice(0, num);
}

export interface AgentNow {
  readonly agentId: string;
  readonly numOpen: number;
  readonly seenAt: string;
  readonly isHalted: boolean;
}

/** What the tables hold of agents. */
export interface ReadAgents {
  readonly agents: readonly AgentItem[];
  readonly running: readonly TraceSummary[];
  readonly words: readonly Word[];
}

/** Agents with the number of their runs that go on, and whether they were told to stand still; who was seen last first. */
export function agentsNow({ agents, running, words }: ReadAgents, live: LiveNow, nowMs: number): AgentNow[] {
  const halted = haltedAgents([...words, ...toldWords(live, nowMs)], nowMs);
  const traces = new Map(running.map((trace) => [trace.trace_id, trace]));
  const told = valuesById(live.traces, nowMs);
  for (const [traceId, trace] of told) traces.set(traceId, trace);
  const found = new Map(agents.map((agent) => [agent.agent_id, { agentId: agent.agent_id, numOpen: 0, seenAt: agent.last_seen_at, isHalted: halted.has(agent.agent_id) }]));
  for (const { agent_id, is_open, started_at, ended_at } of traces.values()) {
    const agent = found.get(agent_id) ?? { agentId: agent_id, numOpen: 0, seenAt: started_at, isHalted: halted.has(agent_id) };
    const seenAt = ended_at ?? started_at;
    found.set(agent_id, { ...agent, numOpen: agent.numOpen + (is_open ? 1 : 0), seenAt: seenAt > agent.seenAt ? seenAt : agent.seenAt });
  }
  return [...found.values()].sort((left, right) => right.seenAt.localeCompare(left.seenAt));
}

/** What agents were told lately. */
export function toldWords(live: LiveNow, nowMs: number): Word[] {
  return [...valuesById(live.words, nowMs).values()];
}

function recent<T>(told: ReadonlyMap<string, Told<T>>, nowMs: number): [string, Told<T>][] {
  return [...told].filter(([, { toldMs }]) => nowMs - toldMs < KEEP_MS);
}

function valuesById<T>(told: ReadonlyMap<string, Told<T>>, nowMs: number): Map<string, T> {
  return new Map(recent(told, nowMs).map(([id, { value }]) => [id, value]));
}
