/**
 * Ranges of time that a page can show, as a word in the address.
 *
 * Upstream: the parameter `range`.
 * Downstream: windows for the API.
 * Guarantee: the start is rounded down to the minute, so the same page asked twice within one asks the same question.
 */
import type { TimeWindow } from "../api/queries";

export const RANGES = { "1h": 3_600_000, "24h": 86_400_000, "7d": 604_800_000, "30d": 2_592_000_000 } as const;
export type Range = keyof typeof RANGES;

export const RANGE_NAMES: Record<Range, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
};

export function rangeOf(text: string | undefined, fallback: Range = "7d"): Range {
  return text !== undefined && text in RANGES ? (text as Range) : fallback;
}

export function windowOf(range: Range, nowMs: number = Date.now()): TimeWindow {
  const from = new Date(Math.floor((nowMs - RANGES[range]) / 60_000) * 60_000);
  return { from: from.toISOString() };
}

/** Midnight of today, by this browser's zone. */
export function today(nowMs: number = Date.now()): TimeWindow {
  const start = new Date(nowMs);
  start.setHours(0, 0, 0, 0);
  return { from: start.toISOString() };
}

/** Points of a trend: hours up to two days, then days. */
export function bucketOf(range: Range): "hour" | "day" {
  return range === "1h" || range === "24h" ? "hour" : "day";
}
