import { expect, test } from "vitest";

import { haltedAgents, type Word } from "./guard_words";

const at = (minute: number): string => `2026-11-23T05:${String(minute).padStart(2, "0")}:00Z`;
const word = (verdict_id: string, action: Word["action"], minute: number, rest: Partial<Word> = {}): Word => ({
  verdict_id,
  action,
  agent_id: "mac",
  scope: "agent",
  issued_at: at(minute),
  expires_at: at(59),
  ...rest,
});
const NOW = Date.parse(at(30));
const halted = (...told: Word[]) => [...haltedAgents(told, NOW)];

test("an agent stands still from the word to its end", () => {
  expect(halted(word("v1", "abort", 1))).toEqual(["mac"]);
  expect(halted(word("v1", "abort", 1, { expires_at: at(29) }))).toEqual([]);
  expect(halted(word("v1", "note", 1), word("v2", "abort", 1, { scope: "run" }))).toEqual([]);
});

test("a release ends what was said before it, and only that", () => {
  expect(halted(word("v1", "abort", 1), word("v2", "release", 2))).toEqual([]);
  expect(halted(word("v2", "release", 2), word("v3", "abort", 3))).toEqual(["mac"]);
  expect(halted(word("v1", "abort", 1), word("v2", "release", 2, { agent_id: "other" }))).toEqual(["mac"]);
});

test("a word about the same id replaces the one before, in whatever order they come", () => {
  const first = word("v1", "abort", 1);
  const takenBack = word("v1", "abort", 2, { expires_at: at(2) });
  expect(halted(first, takenBack)).toEqual([]);
  expect(halted(takenBack, first)).toEqual([]);
});
