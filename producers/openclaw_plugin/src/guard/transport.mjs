/**
 * A GET that never keeps the process alive.
 *
 * Upstream: the guard's connection.
 * Downstream: the gateway.
 * Guarantee: shaped as the part of `fetch` that is used here; its socket is unref'd, which the global fetch cannot
 * promise: an open stream would hold `openclaw agent --local` back from its end.
 */

import http from "node:http";
import https from "node:https";

/**
 * @param {string | URL} url
 * @param {{headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<{status: number, headers: {get(name: string): string | null}, body: AsyncIterable<Uint8Array>,
 *   text(): Promise<string>}>}
 */
export function quietFetch(url, { headers = {}, signal } = {}) {
  const target = new URL(url);
  const { request } = target.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const sent = request(target, { headers, signal, agent: false }, (response) => {
      // Without a listener, a stream that is cut off while nobody reads would be an uncaught error.
      response.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: { get: (name) => [response.headers[name.toLowerCase()]].flat()[0] ?? null },
        body: response,
        text: async () => {
          const chunks = [];
          for await (const chunk of response) chunks.push(chunk);
          return Buffer.concat(chunks).toString("utf8");
        },
      });
    });
    sent.on("socket", (socket) => socket.unref());
    sent.on("error", reject);
    sent.end();
  });
}
