import { expect, test } from "vitest";

import { evidenceText, nameOf } from "./evidence";

test.each([
  ["spent_usd", "0.05595", undefined, "$0.056"],
  ["spent", "0.180375", "usd", "$0.18"],
  ["limit", "500000", "tokens", "500k tokens"],
  ["limit", "10", undefined, "10"],
  ["threshold_percent", "50", "usd", "50 %"],
  ["percent", "72.2", "usd", "72.2 %"],
  ["hold_us", "1500000", undefined, "1.5 s"],
  ["num_calls", "12000", undefined, "12k"],
  ["tool", "exec", undefined, "exec"],
  ["command", "", undefined, ""],
])("%s of %s counted in %s is %s", (name, value, unit, text) => {
  expect(evidenceText(name, value, unit)).toBe(text);
});

test("an instant is shown as one", () => {
  expect(evidenceText("window_end_us", "1795478400000000", "usd")).toMatch(/2[34] Nov 2026/);
});

test("names have no unit", () => {
  expect(["window_end_us", "num_same_calls", "input_tokens", "threshold_percent"].map(nameOf)).toEqual(["Window end", "Same calls", "Input tokens", "Threshold"]);
});
