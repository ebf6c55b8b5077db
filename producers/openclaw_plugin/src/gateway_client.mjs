/**
 * One request to the gateway, and what its answer means.
 *
 * Upstream: `sender.mjs`.
 * Downstream: `POST <endpoint>/v1/events`, `PUT <endpoint>/v1/blobs/<sha256>`.
 * Guarantee: never throws; the key goes to the endpoint that was set and nowhere else; no request outlives its time.
 */

import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { judge, judgeBlob, reasonOf } from "./gateway_protocol.mjs";

const REQUEST_TIMEOUT_MS = 30_000;

const compress = promisify(gzip);

/** @typedef {import("./gateway_protocol.mjs").Answer & {rejected?: {error?: string}[]}} Answer */

export class GatewayClient {
  /** @param {{fetch: typeof fetch, stopped: AbortSignal}} options */
  constructor({ fetch, stopped }) {
    this._fetch = fetch;
    this._stopped = stopped;
    this._endpoint = "";
    this._key = "";
  }

  configure(endpoint, observeKey) {
    this._endpoint = endpoint;
    this._key = observeKey;
  }

  /**
   * @param {Buffer} body of a batch, not compressed
   * @returns {Promise<Answer>} with the events that the gateway set aside, when it took the batch
   */
  async sendBatch(body) {
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    const { response, text, failure } = await this._request("POST", "/v1/events", await compress(body, { level: 1 }), headers);
    if (failure) return failure;
    const answer = judge(response, text);
    return answer.verdict === "taken" ? { ...answer, rejected: rejectedIn(text) } : answer;
  }

  /**
   * @param {string} sha256
   * @param {Buffer} bytes
   * @returns {Promise<Answer>}
   */
  async sendBlob(sha256, bytes) {
    const headers = { "content-type": "application/octet-stream" };
    const { response, text, failure } = await this._request("PUT", `/v1/blobs/${sha256}`, bytes, headers);
    return failure ?? judgeBlob(response, text);
  }

  async _request(method, path, body, headers) {
    try {
      const response = await this._fetch(this._endpoint + path, {
        method,
        body,
        headers: { ...headers, authorization: `Bearer ${this._key}` },
        // A key must not travel to wherever an answer points.
        redirect: "manual",
        signal: AbortSignal.any([this._stopped, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
      return { response, text: await response.text() };
    } catch (error) {
      const text = `the gateway ${this._endpoint} cannot be reached (${reasonOf(error)})`;
      return { failure: { verdict: "again", text } };
    }
  }
}

function rejectedIn(text) {
  try {
    const { rejected } = JSON.parse(text);
    return Array.isArray(rejected) ? rejected : [];
  } catch {
    return [];
  }
}
