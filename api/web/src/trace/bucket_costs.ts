/**
 * What each bucket of a call's tokens cost, by the price that was used.
 *
 * Upstream: tokens of a span; GET /v1/prices/lookup.
 * Downstream: the step detail.
 * Guarantee: pure; a tier counts for the whole call, as it does where calls are priced.
 */
import type { PriceDetail, SpanDetail, TokensByKind } from "../api/queries";

type Bucket = "input" | "cache_read" | "cache_write" | "output";

export interface BucketCost {
  /** Dollars per million tokens. */
  readonly rateUsd: number;
  readonly costUsd: number;
}

const MTOK = 1e6;

export function bucketCosts(tokens: TokensByKind, span: Pick<SpanDetail, "cache_write_1h_tokens">, price: PriceDetail): Record<Bucket, BucketCost> {
  const numPrompt = tokens.input + tokens.cache_read + tokens.cache_write;
  const rates = price.tiers.findLast(({ above_prompt_tokens }) => numPrompt > above_prompt_tokens) ?? price;
  const of = (bucket: Bucket): BucketCost => ({ rateUsd: Number(rates[bucket]), costUsd: (tokens[bucket] * Number(rates[bucket])) / MTOK });
  const numHour = span.cache_write_1h_tokens ?? 0;
  const written = of("cache_write");
  const more = (numHour * (Number(rates.cache_write_1h) - Number(rates.cache_write))) / MTOK;
  return { input: of("input"), cache_read: of("cache_read"), cache_write: { ...written, costUsd: written.costUsd + more }, output: of("output") };
}
