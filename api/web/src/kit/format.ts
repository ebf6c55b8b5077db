/**
 * Numbers as people read them, the same on every page.
 *
 * Upstream: values of the API: dollars as decimal text, tokens and microseconds as integers.
 * Downstream: every page.
 * Guarantee: what is unknown is a dash, never a zero; dollars never lose their first two significant digits.
 */

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const instantFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

type Maybe<T> = T | null | undefined;

/** Dollars: cents from one dollar up, below that two significant digits. */
export function formatUsd(value: Maybe<string | number>): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  const amount = Number(value);
  if (!Number.isFinite(amount)) return UNKNOWN;
  const size = Math.abs(amount);
  if (size === 0) return "$0";
  const decimals = size >= 1 ? 2 : Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(size))));
  const text = size.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: decimals });
  return `${amount < 0 ? "−" : ""}$${text}`;
}

/** Counts of tokens: exact below ten thousand, then with one decimal and k, M or B. */
export function formatTokens(value: Maybe<number>): string {
  if (value === null || value === undefined) return UNKNOWN;
  return formatCount(value);
}

/** Any count, shortened like tokens. */
export function formatCount(value: Maybe<number>): string {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value);
  for (const [unit, suffix] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e4, "k"],
  ] as const) {
    if (size >= unit) return `${trim((value / (unit === 1e4 ? 1e3 : unit)).toFixed(1))}${suffix}`;
  }
  return whole.format(value);
}

/** A duration in milliseconds, in its two largest units. */
export function formatDuration(ms: Maybe<number>): string {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${trim((ms / 1_000).toFixed(1))} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return pair(seconds, 60, "min", "s");
  if (seconds < 86_400) return pair(Math.round(seconds / 60), 60, "h", "min");
  return pair(Math.round(seconds / 3_600), 24, "d", "h");
}

/** A share of one, as percent. */
export function formatShare(value: Maybe<number>): string {
  if (value === null || value === undefined) return UNKNOWN;
  return `${trim((value * 100).toFixed(1))} %`;
}

/** An instant in microseconds, by this browser's clock and zone. */
export function formatInstant(us: Maybe<number>): string {
  return us ? instantFormat.format(us / 1_000) : UNKNOWN;
}

/** A moment of today, in milliseconds, by this browser's clock. */
export function formatClock(ms: number): string {
  return clockFormat.format(ms);
}

/** The end of a window, which falls on a minute. */
export function formatMinute(us: Maybe<number>): string {
  return us ? minuteFormat.format(us / 1_000) : UNKNOWN;
}

/** A value that JSON told, as text; nothing where there is none. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** How long ago an instant was. */
export function formatAgo(us: Maybe<number>, nowMs: number = Date.now()): string {
  if (!us) return UNKNOWN;
  const ms = Math.max(0, nowMs - us / 1_000);
  return ms < 5_000 ? "now" : `${formatDuration(Math.round(ms / 1_000) * 1_000)} ago`;
}

function pair(value: number, size: number, large: string, small: string): string {
  const rest = value % size;
  return rest === 0 ? `${value / size} ${large}` : `${Math.floor(value / size)} ${large} ${rest} ${small}`;
}

function trim(text: string): string {
  return text.replace(/\.0$/, "");
}
