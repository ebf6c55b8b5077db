import { describe, expect, test } from "vitest";

import { formatAgo, formatCount, formatDuration, formatShare, formatUsd, UNKNOWN } from "./format";

describe("formatUsd", () => {
  test.each([
    ["0", "$0"],
    ["0.000000321", "$0.00000032"],
    ["0.000000000004", "$0.000000000004"],
    ["0.0526", "$0.053"],
    ["0.05", "$0.05"],
    ["0.999", "$1.00"],
    ["1", "$1.00"],
    ["47000.5", "$47,000.50"],
    ["-0.25", "−$0.25"],
    [null, UNKNOWN],
    [undefined, UNKNOWN],
    ["", UNKNOWN],
  ])("%s is %s", (value, text) => expect(formatUsd(value)).toBe(text));
});

test.each([
  [0, "0"],
  [9_999, "9,999"],
  [10_000, "10k"],
  [130_213, "130.2k"],
  [15_000_000, "15M"],
  [2_300_000_000, "2.3B"],
])("count %s is %s", (value, text) => expect(formatCount(value)).toBe(text));

test.each([
  [0, "0 ms"],
  [999.4, "999 ms"],
  [1_500, "1.5 s"],
  [59_400, "59 s"],
  [60_000, "1 min"],
  [61_000, "1 min 1 s"],
  [24_120_000, "6 h 42 min"],
  [90_000_000, "1 d 1 h"],
])("duration %s is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test("a share is a percentage, and unknown is a dash", () => {
  expect(formatShare(0.125)).toBe("12.5 %");
  expect(formatShare(undefined)).toBe(UNKNOWN);
});

test("an instant of the future is now", () => {
  expect(formatAgo(2_000_000_000, 1_000_000)).toBe("now");
  expect(formatAgo(1_000_000_000, 1_061_000)).toBe("1 min 1 s ago");
});
