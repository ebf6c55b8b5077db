/**
 * A local HTTP server that speaks the gateway's protocol, and can be told to fail.
 *
 * Upstream: the plugin under test.
 * Downstream: tests look at what arrived.
 * Guarantee: checks each body as the gateway does: key, content type, gzip, the batch's and the events' shape.
 */

import { createHash } from "node:crypto";
import http from "node:http";
import { gunzipSync } from "node:zlib";

import { LABEL_EVENTS } from "../src/hooks.mjs";

export const KEY = "test-observe-key";

export class GatewayServer {
  constructor() {
    /** spool id -> seq -> event */
    this.spools = new Map();
    this.blobs = new Map();
    this.batches = [];
    this.requests = [];
    this.problems = [];
    /** Answers to give instead, each once; a function stays, and decides by the batch. */
    this.answers = [];
    this._sockets = new Set();
  }

  static async start(test, port = 0) {
    const gateway = new GatewayServer();
    await gateway.listen(port);
    test.after(() => gateway.stop());
    return gateway;
  }

  async listen(port = 0) {
    this._server = http.createServer((request, response) => void this._answer(request, response));
    this._server.on("connection", (socket) => {
      this._sockets.add(socket);
      socket.on("close", () => this._sockets.delete(socket));
    });
    await new Promise((resolve) => this._server.listen(port, "127.0.0.1", resolve));
    this.port = this._server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  stop() {
    for (const socket of this._sockets) socket.destroy();
    return new Promise((resolve) => this._server.close(resolve));
  }

  /** All events of all spools, by spool and number. */
  get events() {
    return [...this.spools.values()].flatMap((events) => [...events.entries()].sort(([a], [b]) => a - b).map(([, e]) => e));
  }

  /** Those that hooks brought, without what the plugin makes of them. */
  get hookEvents() {
    return this.events.filter(({ hook }) => !LABEL_EVENTS.includes(hook));
  }

  async _answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    this.requests.push({ method: request.method, url: request.url, headers: request.headers });
    const reply = (status, content = {}, headers = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(content));
    };
    if (request.headers.authorization !== `Bearer ${this.key ?? KEY}`) return reply(401, { detail: "unknown key" });
    if (request.method === "PUT" && this.hasNoBlobs) return reply(404);
    if (request.method === "PUT" && request.url.startsWith("/v1/blobs/")) return this._blob(request.url.slice(10), body, reply);
    if (request.method !== "POST" || request.url !== "/v1/events") return reply(404, { detail: "no such path" });
    const batch = JSON.parse(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body);
    const next = typeof this.answers[0] === "function" ? this.answers[0](batch) : this.answers.shift();
    if (next) return reply(next.status, next.body ?? {}, next.headers);
    this._check(batch);
    this._keep(batch);
    return reply(202, { accepted: batch.events.length, rejected: [] });
  }

  _blob(sha256, body, reply) {
    if (createHash("sha256").update(body).digest("hex") !== sha256) return reply(422, { detail: "wrong sum" });
    const isNew = !this.blobs.has(sha256);
    this.blobs.set(sha256, body);
    return reply(isNew ? 201 : 200);
  }

  _check(batch) {
    const wrong = (text) => void this.problems.push(text);
    if (batch.schema_version !== 1) wrong("schema_version");
    if (!/^[0-9a-f-]{36}$/.test(batch.spool_id)) wrong("spool_id");
    if (!batch.source?.name) wrong("source");
    for (const { seq, at_us, hook, event, ctx } of batch.events) {
      if (!Number.isSafeInteger(seq) || seq < 0 || !Number.isSafeInteger(at_us)) wrong(`seq or at_us of ${hook}`);
      if (!/^[a-z][a-z0-9_]{0,63}$/.test(hook)) wrong(`hook ${hook}`);
      if (typeof event !== "object" || typeof ctx !== "object") wrong(`objects of ${hook}`);
    }
  }

  _keep(batch) {
    this.batches.push(batch.events.length);
    if (!this.spools.has(batch.spool_id)) this.spools.set(batch.spool_id, new Map());
    const events = this.spools.get(batch.spool_id);
    for (const event of batch.events) {
      const before = events.get(event.seq);
      if (before && JSON.stringify(before) !== JSON.stringify(event)) this.problems.push(`two events ${event.seq}`);
      events.set(event.seq, event);
    }
  }
}
