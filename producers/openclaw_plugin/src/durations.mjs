/**
 * How long something takes, as counts in buckets that grow by a fifth.
 *
 * Upstream: `capture.mjs`, for each hook call.
 * Downstream: the status.
 * Guarantee: constant memory and time; a percentile is never below the true one and at most a fifth above it.
 */

const GROWTH = 1.2;
const SMALLEST_US = 1;
const NUM_BUCKETS = 96;

export class Durations {
  constructor() {
    this._counts = new Uint32Array(NUM_BUCKETS);
    this.num = 0;
    this.max_us = 0;
    this.sum_us = 0;
  }

  add(us) {
    const bucket = us <= SMALLEST_US ? 0 : Math.ceil(Math.log(us / SMALLEST_US) / Math.log(GROWTH));
    this._counts[Math.min(bucket, NUM_BUCKETS - 1)] += 1;
    this.num += 1;
    this.sum_us += us;
    if (us > this.max_us) this.max_us = us;
  }

  /** @param {number} share between 0 and 1 */
  percentile(share) {
    let left = Math.ceil(this.num * share);
    for (let bucket = 0; bucket < NUM_BUCKETS; bucket += 1) {
      left -= this._counts[bucket];
      if (left <= 0) return Math.min(this.max_us, SMALLEST_US * GROWTH ** bucket);
    }
    return this.max_us;
  }

  /** @returns {{num: number, mean_us: number, p50_us: number, p99_us: number, max_us: number}} */
  summary() {
    const figures = { p50_us: this.percentile(0.5), p99_us: this.percentile(0.99), max_us: this.max_us };
    figures.mean_us = this.sum_us / Math.max(1, this.num);
    for (const name of Object.keys(figures)) figures[name] = Math.round(figures[name]);
    return { num: this.num, ...figures };
  }
}
