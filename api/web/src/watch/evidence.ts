/**
 * The numbers that prove an alert, in words and units.
 *
 * Upstream: evidence and labels of an alert; the unit stands in the name of a number.
 * Downstream: the detail of an alert.
 * Guarantee: pure; what has no unit is shown as it was told.
 */
import { formatCount, formatDuration, formatInstant, formatTokens, formatUsd } from "../kit/format";

const UNIT = /_(?:usd|ms|us|percent)$/;
/** In 2001; no duration is that long. */
const FIRST_INSTANT_US = 1e15;
/** Amounts of a budget, which is in dollars or in tokens. */
const AMOUNTS = ["spent", "limit", "forecast", "left"];

/** "num_same_calls" is "Same calls". */
export function nameOf(name: string): string {
  const words = name.replace(UNIT, "").replace(/^num_/, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A number in its unit, which its name says, or for amounts of a budget the budget. */
export function evidenceText(name: string, value: string, budgetUnit?: string): string {
  const number = Number(value);
  if (value.trim() === "" || !Number.isFinite(number)) return value;
  if (name.endsWith("_usd")) return formatUsd(value);
  if (name.endsWith("_tokens")) return formatTokens(number);
  if (name.endsWith("_ms")) return formatDuration(number);
  if (name.endsWith("_us")) return number >= FIRST_INSTANT_US ? formatInstant(number) : formatDuration(number / 1_000);
  if (name.endsWith("percent")) return `${value} %`;
  if (name.startsWith("num_")) return formatCount(number);
  if (AMOUNTS.includes(name) && budgetUnit === "usd") return formatUsd(value);
  if (AMOUNTS.includes(name) && budgetUnit === "tokens") return `${formatTokens(number)} tokens`;
  return value;
}
