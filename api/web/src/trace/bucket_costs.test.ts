import { expect, test } from "vitest";

import type { PriceDetail } from "../api/queries";
import { bucketCosts } from "./bucket_costs";

const RATES = { input: "3", cache_read: "0.3", cache_write: "3.75", cache_write_1h: "6", output: "15" };
const PRICE = { ...RATES, tiers: [{ ...RATES, input: "6", above_prompt_tokens: 200_000 }] } as unknown as PriceDetail;

test("each bucket costs its tokens at its rate; what is kept for an hour costs its own", () => {
  const costs = bucketCosts({ input: 1_000, cache_read: 10_000, cache_write: 2_000, output: 100 }, { cache_write_1h_tokens: 500 }, PRICE);
  expect(costs.input).toEqual({ rateUsd: 3, costUsd: 0.003 });
  expect(costs.cache_read.costUsd).toBeCloseTo(0.003);
  expect(costs.cache_write.costUsd).toBeCloseTo((1_500 * 3.75 + 500 * 6) / 1e6);
  expect(costs.output.costUsd).toBeCloseTo(0.0015);
});

test.each([
  [199_999, 3],
  [200_001, 6],
])("a prompt of %s tokens costs $%s per million", (input, rateUsd) =>
  expect(bucketCosts({ input, cache_read: 0, cache_write: 0, output: 0 }, { cache_write_1h_tokens: null }, PRICE).input.rateUsd).toBe(rateUsd));
