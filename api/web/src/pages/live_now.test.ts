import { expect, test } from "vitest";

import type { AgentItem, AlertItem, TraceSummary } from "../api/queries";
import { agentsNow, KEEP_MS, newestRuns, NOTHING_TOLD, openAlerts, withEvents } from "./live_now";

const run = (trace_id: string, is_open: boolean, minute = 0, agent_id = "mac"): TraceSummary =>
  ({ trace_id, agent_id, is_open, started_at: `2026-11-23T05:0${minute}:00Z`, ended_at: is_open ? null : `2026-11-23T05:0${minute}:30Z` }) as TraceSummary;
const alert = (alert_id: string, state: string, minute = 0): AlertItem => ({ alert_id, state, at: `2026-11-23T05:0${minute}:00Z` }) as AlertItem;
const agent = (agent_id: string): AgentItem => ({ agent_id, last_seen_at: "2026-11-23T05:00:00Z" }) as AgentItem;
const told = (nowMs: number, ...values: [string, unknown][]) =>
  withEvents(NOTHING_TOLD, values.map(([event, value]) => ({ id: "", event, data: JSON.stringify(value) })), nowMs);

test("a run that is streamed stands before those of the tables, until they know that it ended", () => {
  const live = told(0, ["trace", run("new", true, 5)], ["trace", run("old", true, 1)]);
  expect(newestRuns([run("old", false, 1)], live, 8, 1).map(({ trace_id, is_open }) => [trace_id, is_open])).toEqual([["new", true], ["old", false]]);
  expect(newestRuns([run("other", false, 9)], live, 1, 1).map((trace) => trace.trace_id)).toEqual(["other"]);
});

test("what was told long ago is forgotten", () => {
  const live = told(0, ["trace", run("new", true, 5)], ["alert", alert("a", "alert")]);
  expect(newestRuns([], live, 8, KEEP_MS)).toEqual([]);
  expect(openAlerts([], 1_000, live, 8)).toHaveLength(1);
  expect(openAlerts([], KEEP_MS, live, 8)).toEqual([]);
  expect(withEvents(live, [], KEEP_MS).traces.size).toBe(0);
});

test("an alert that is over goes, one that is new comes first", () => {
  const live = told(0, ["alert", alert("known", "ok")], ["alert", alert("new", "alert", 3)]);
  expect(openAlerts([alert("known", "alert"), alert("stays", "warn")], 1, live, 5).map((line) => line.alert_id)).toEqual(["new", "stays"]);
});

test("an agent runs when the tables or the stream say so, and each run counts once", () => {
  const live = told(0, ["trace", run("both", true, 2)], ["trace", run("ended", false, 3)], ["trace", run("first", true, 4, "new-mac")]);
  const read = { agents: [agent("mac"), agent("still")], running: [run("both", true, 2), run("ended", true, 3)], words: [] };
  expect(agentsNow(read, live, 1)).toEqual([
    { agentId: "new-mac", numOpen: 1, seenAt: "2026-11-23T05:04:00Z", isHalted: false },
    { agentId: "mac", numOpen: 1, seenAt: "2026-11-23T05:03:30Z", isHalted: false },
    { agentId: "still", numOpen: 0, seenAt: "2026-11-23T05:00:00Z", isHalted: false },
  ]);
});

test("an agent is halted from the moment the stream says so", () => {
  const word = { verdict_id: "v", agent_id: "mac", scope: "agent", action: "abort", issued_at: "2026-11-23T05:00:00Z", expires_at: "2026-11-24T05:00:00Z" };
  const read = { agents: [agent("mac"), agent("still")], running: [], words: [] };
  const halted = agentsNow(read, told(0, ["verdict", word]), 1).filter((present) => present.isHalted);
  expect(halted.map((present) => present.agentId)).toEqual(["mac"]);
});
