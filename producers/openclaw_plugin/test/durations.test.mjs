/** Percentiles of hook times, against the sorted list of them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Durations } from "../src/durations.mjs";

test("a percentile is the true one or at most a fifth above it", () => {
  const durations = new Durations();
  const times = Array.from({ length: 5_000 }, (_, index) => 1 + ((index * 7_919) % 5_000) ** 2 / 400);
  for (const us of times) durations.add(us);
  const sorted = times.toSorted((a, b) => a - b);
  for (const share of [0.01, 0.5, 0.9, 0.99, 1]) {
    const exact = sorted[Math.ceil(share * sorted.length) - 1];
    const found = durations.percentile(share);
    assert.ok(found >= exact * 0.999 && found <= Math.max(1, exact * 1.2), `${share}: ${found} for ${exact}`);
  }
  assert.equal(durations.summary().num, 5_000);
  assert.equal(durations.summary().max_us, Math.round(sorted.at(-1)));
});

test("nothing measured is nought, not nonsense", () => {
  assert.deepEqual(new Durations().summary(), { num: 0, p50_us: 0, p99_us: 0, max_us: 0, mean_us: 0 });
});
