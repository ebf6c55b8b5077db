/**
 * The gateway's protocol as the plugin speaks it: the body of a batch, and what the answers mean.
 *
 * Upstream: `sender.mjs`.
 * Downstream: nothing.
 * Guarantee: pure; only an answer of the gateway itself can cost an event.
 */

const MAX_RETRY_AFTER_MS = 5 * 60_000;

/**
 * @typedef {object} Answer what came of one request
 * @property {"taken" | "smaller" | "unreadable" | "refused" | "again"} verdict
 * @property {string} text a plain sentence
 * @property {number} [afterMs] the gateway's own wish
 */

/**
 * What an answer means for the batch that was sent.
 * @param {Response} response
 * @param {string} text its body
 * @returns {Answer}
 */
export function judge(response, text) {
  const { status } = response;
  if (status === 202 && /"accepted":\s*\d/.test(text)) return { verdict: "taken", text: "" };
  // Anything else that answers with a friendly 200 has not stored our events.
  if (status >= 200 && status < 400) return { verdict: "again", text: `what answers (${status}) is no ClawTrace gateway` };
  const said = `the gateway answered ${status}${detailOf(text)}`;
  if (status === 401 || status === 403) return { verdict: "refused", text: `the observe key was refused: ${said}` };
  if (status === 413) return { verdict: "smaller", text: said };
  // Only the gateway itself may make us drop an event: any other server at this address says why in its own words.
  if (status === 422 && detailOf(text) !== "") return { verdict: "unreadable", text: said };
  const afterMs = retryAfterMs(response.headers.get("retry-after"));
  return { verdict: "again", text: said, afterMs };
}

/**
 * What an answer to a blob means. Where there is no place for blobs, the preview in the event is what remains.
 * @param {Response} response
 * @param {string} text
 * @returns {Answer}
 */
export function judgeBlob(response, text) {
  const { status } = response;
  if (status === 200 || status === 201 || status === 204) return { verdict: "taken", text: "" };
  if (status === 404 || status === 405) return { verdict: "unreadable", text: `the gateway takes no blobs (${status})` };
  return judge(response, text);
}

/** A wire batch; the events are in the spool as they go out. */
export function bodyOf(spoolId, source, batch) {
  const head = { schema_version: 1, source, spool_id: spoolId };
  const parts = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"events":[`)];
  batch.forEach(({ payload }, index) => {
    if (index > 0) parts.push(COMMA);
    parts.push(payload);
  });
  parts.push(END);
  return Buffer.concat(parts);
}

const COMMA = Buffer.from(",");
const END = Buffer.from("]}");

function retryAfterMs(header) {
  if (!header) return undefined;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms));
}

export function reasonOf(error) {
  return error?.cause?.code ?? error?.cause?.message ?? error?.name ?? String(error);
}

function detailOf(text) {
  try {
    const { detail, title } = JSON.parse(text);
    return detail || title ? `: ${detail ?? title}` : "";
  } catch {
    return "";
  }
}
