import { expect, test } from "vitest";

import { ended, newTurn, sessionOf, storedTurn, type Turn, withEvent } from "./conversation";

const event = (name: string, data: unknown) => ({ id: "", event: name, data: typeof data === "string" ? data : JSON.stringify(data) });
const play = (...events: [string, unknown][]): Turn => events.reduce((turn, [name, data]) => withEvent(turn, event(name, data)), newTurn("why?"));

test("text runs on until something else comes", () => {
  const turn = play(
    ["text", { text: "It cost " }],
    ["text", { text: "[$1](#c1)\n" }],
    ["citation", { citation_id: "c1", status: "checked", sql: "SELECT 1", row: 0, column: "usd", reason: null }],
    ["chart", { option: { series: [] }, sql: "SELECT 2" }],
    ["text", { text: "More" }],
    ["done", {}],
  );
  expect(turn.parts.map((part) => part.kind)).toEqual(["text", "chart", "text"]);
  expect(turn.parts[0]).toEqual({ kind: "text", text: "It cost [$1](#c1)\n" });
  expect(turn.citations.get("c1")?.sql).toBe("SELECT 1");
  expect(turn.state).toBe("done");
});

test("a tool is told from its call to its result", () => {
  const call: [string, unknown] = ["tool_use", { tool_use_id: "t1", name: "run_sql", input: { sql: "SELECT 1" } }];
  expect(play(call).parts).toEqual([{ kind: "tool", id: "t1", name: "run_sql", state: "running", told: "SELECT 1" }]);
  expect(play(call, ["tool_result", { tool_use_id: "t1", is_error: true }]).parts[0]).toMatchObject({ state: "failed" });
  expect(play(call, ["tool_result", { tool_use_id: "t2", is_error: false }]).parts[0]).toMatchObject({ state: "running" });
});

test("how it ended is kept", () => {
  expect(ended(play(), true).state).toBe("stopped");
  expect(ended(play(), false)).toMatchObject({ state: "failed", failure: "The answer broke off. Ask again." });
  expect(ended(play(["done", {}]), false).state).toBe("done");
  expect(play(["error", { message: "Too busy." }])).toMatchObject({ state: "failed", failure: "Too busy." });
});

test("what is not known, or broken, changes nothing", () => {
  const turn = newTurn("x");
  expect(withEvent(turn, event("ping", "{}"))).toBe(turn);
  expect(withEvent(turn, event("citation", "{broken"))).toBe(turn);
  expect(sessionOf(event("session", { session_id: "ts-1" }))).toBe("ts-1");
  expect(sessionOf(event("text", { session_id: "ts-1" }))).toBeUndefined();
});

test("a stored turn is what was shown, and over", () => {
  const events = [
    { event: "text", data: { text: "It cost [$1](#c1)." } },
    { event: "citation", data: { citation_id: "c1", sql: "SELECT 1" } },
  ];
  expect(storedTurn({ question: "why?", events: [...events, { event: "done", data: {} }], failed: null })).toEqual(
    play(["text", { text: "It cost [$1](#c1)." }], ["citation", { citation_id: "c1", sql: "SELECT 1" }], ["done", {}]),
  );
  expect(storedTurn({ question: "why?", events, failed: null }).state).toBe("done");
  expect(storedTurn({ question: "why?", events, failed: "model_away" }).state).toBe("failed");
});
