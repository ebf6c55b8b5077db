/**
 * Takes the long texts out of a spooled event, for a spool that is full.
 *
 * Upstream: `spool.mjs`.
 * Downstream: nothing.
 * Guarantee: pure; ids, names, numbers and the shape of the event stay, so runs, calls and money are still right.
 */

const MAX_TEXT_CHARS = 256;
const KEPT_CHARS = 64;

/**
 * @param {Buffer} payload
 * @returns {Buffer} the same buffer when there is nothing to take out
 */
export function slimPayload(payload) {
  let hasLong = false;
  const cut = (_key, value) => {
    if (typeof value !== "string" || value.length <= MAX_TEXT_CHARS) return value;
    hasLong = true;
    return `${value.slice(0, KEPT_CHARS)}… [dropped: the spool was full; ${value.length} characters]`;
  };
  try {
    const slim = JSON.stringify(JSON.parse(payload.toString(), cut));
    return hasLong ? Buffer.from(slim) : payload;
  } catch {
    return payload;
  }
}
