/**
 * Dollars as whole numbers, and what a model call costs.
 *
 * Upstream: prices and limits as decimal text from the guard's state; usage objects of OpenClaw.
 * Downstream: the meter.
 * Guarantee: pure; no sum ever passes through a float, except OpenClaw's own estimate, which is one already; what has
 * no price is undefined, never 0.
 */

// One picodollar is a token at a millionth of a dollar per million tokens: no price list is finer.
const DIGITS = 12;
export const PICO_PER_USD = 10n ** BigInt(DIGITS);
const TOKENS_PER_PRICE = 1_000_000n;

/**
 * Decimal text to picodollars; undefined when it is no amount.
 * @param {unknown} text
 * @returns {bigint | undefined}
 */
export function parseUsd(text) {
  // Python writes a small Decimal as 5E-7.
  const match = /^(\d{1,15})(?:\.(\d{1,30}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(String(text ?? "").trim());
  if (!match) return undefined;
  const [, whole, fraction = "", exponent = "0"] = match;
  const shift = DIGITS - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  return shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
}

/**
 * Picodollars to decimal text, exact, without needless zeros.
 * @param {bigint} pico
 */
export function formatUsd(pico) {
  const sign = pico < 0n ? "-" : "";
  const size = pico < 0n ? -pico : pico;
  const fraction = String(size % PICO_PER_USD).padStart(DIGITS, "0").replace(/0+$/, "");
  return `${sign}${size / PICO_PER_USD}${fraction && `.${fraction}`}`;
}

/**
 * Picodollars for a sentence: cents, or as many digits as a small amount needs.
 * @param {bigint} pico
 */
export function sayUsd(pico) {
  const [whole, fraction = ""] = formatUsd(pico).split(".");
  const leading = /^0*/.exec(fraction)[0].length;
  const digits = whole === "0" ? Math.max(2, leading + 2) : 2;
  return `$${whole}.${fraction.slice(0, digits).padEnd(2, "0")}`;
}

/** Prices by provider and model, per token in picodollars times a million; a longer prompt may have others. */
export class PriceTable {
  /** @param {Array<Record<string, unknown>>} [rows] the `prices` of the guard's state */
  constructor(rows = []) {
    this.byModel = new Map();
    for (const row of Array.isArray(rows) ? rows : []) {
      const rates = ratesOf(row);
      if (!rates) continue;
      const tiers = (Array.isArray(row.tiers) ? row.tiers : [])
        .map((tier) => ({ above: tokens(tier?.above_prompt_tokens), rates: ratesOf(tier) }))
        .filter((tier) => tier.rates);
      this.byModel.set(modelKey(row.provider, row.model), { rates, tiers });
    }
  }

  /**
   * Cost of a call: by the table, else OpenClaw's own estimate when it has one, else undefined.
   * @param {string} provider
   * @param {string} model
   * @param {any} usage
   * @returns {bigint | undefined}
   */
  cost(provider, model, usage) {
    const price = this.byModel.get(modelKey(provider, model));
    if (!price) return reportedCost(usage);
    const [input, cacheRead, cacheWrite] = [tokens(usage.input), tokens(usage.cacheRead), tokens(usage.cacheWrite)];
    const hour = tokens(usage.cacheWrite1h);
    const forAnHour = hour < cacheWrite ? hour : cacheWrite;
    // A tier counts for all tokens of a call, by the length of its whole prompt.
    const prompt = input + cacheRead + cacheWrite;
    const rates = price.tiers.findLast((tier) => prompt > tier.above)?.rates ?? price.rates;
    const total =
      rates.input * input +
      rates.output * tokens(usage.output) +
      rates.cacheRead * cacheRead +
      rates.cacheWrite * (cacheWrite - forAnHour) +
      rates.cacheWrite1h * forAnHour;
    return total / TOKENS_PER_PRICE;
  }
}

function ratesOf(row) {
  const input = parseUsd(row?.input_usd_per_mtok);
  const output = parseUsd(row?.output_usd_per_mtok);
  if (input === undefined || output === undefined) return undefined;
  const cacheWrite = parseUsd(row.cache_write_usd_per_mtok) ?? input;
  return {
    input,
    output,
    cacheRead: parseUsd(row.cache_read_usd_per_mtok) ?? input,
    cacheWrite,
    cacheWrite1h: parseUsd(row.cache_write_1h_usd_per_mtok) ?? cacheWrite,
  };
}

/**
 * True when a usage object tells of at least one token.
 * @param {any} usage
 */
export function hasTokens(usage) {
  return Boolean(usage) && ["input", "output", "cacheRead", "cacheWrite"].some((name) => tokens(usage[name]) > 0n);
}

function reportedCost(usage) {
  // OpenClaw says 0 for a model without a configured price, so 0 tells nothing.
  const total = usage?.cost?.total;
  return typeof total === "number" && Number.isFinite(total) && total > 0 ? BigInt(Math.round(total * 1e12)) : undefined;
}

function tokens(count) {
  return typeof count === "number" && Number.isFinite(count) && count > 0 ? BigInt(Math.round(count)) : 0n;
}

function modelKey(provider, model) {
  return `${String(provider ?? "").toLowerCase()}\n${String(model ?? "").toLowerCase()}`;
}
