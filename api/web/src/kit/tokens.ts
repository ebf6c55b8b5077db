/**
 * Sums over the four token buckets.
 *
 * Upstream: tokens of the API.
 * Downstream: tables, detail.
 * Guarantee: the buckets do not overlap, so their sum is the total.
 */
import type { TokensByKind } from "../api/queries";

export function totalTokens(tokens: TokensByKind | null | undefined): number | null {
  if (tokens === null || tokens === undefined) return null;
  return tokens.input + tokens.cache_read + tokens.cache_write + tokens.output;
}

export const TOKEN_BUCKETS: readonly (readonly [keyof TokensByKind, string])[] = [
  ["input", "Fresh input"],
  ["cache_read", "Cache read"],
  ["cache_write", "Cache write"],
  ["output", "Output"],
];

/** Microseconds of an instant that the API tells as text. */
export function microsOf(instant: string | null | undefined): number | null {
  if (instant === null || instant === undefined) return null;
  const ms = Date.parse(instant);
  return Number.isNaN(ms) ? null : ms * 1_000;
}
