/** The guard's connection, against real HTTP servers that misbehave in the ways servers and proxies do. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";

import { connectGuard, createGuard } from "../src/guard/index.mjs";
import { readServerEvents } from "../src/guard/sse.mjs";
import { readSettings } from "../src/settings.mjs";
import { describeStatus } from "../src/status_text.mjs";
import { StandIn, stateOf } from "./guard_process.mjs";

const WITHIN_MS = 10_000;

async function until(good, what) {
  const deadline = performance.now() + WITHIN_MS;
  while (!good()) {
    assert.ok(performance.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A server that answers by `answer`, and keeps what it was asked. */
async function serving(answer, work) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url, headers: request.headers });
    answer(request, response, requests.length);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const process = new StandIn();
  const warnings = [];
  const options = { awayAfterMs: 0, firstRetryMs: 10, silentAfterMs: 300, log: { warn: (text) => warnings.push(text) } };
  const connection = connectGuard({ endpoint: `http://127.0.0.1:${port}/`, observeKey: "k", guard: process.guard, ...options });
  try {
    await work({ process, guard: process.guard, requests, server, warnings, connection });
  } finally {
    connection.close();
    server.closeAllConnections();
    server.close();
  }
}

function sse(response, ...events) {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  for (const { event, id, data } of events) response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
}

test("events are read whatever the line ends and the chunks", async () => {
  const text = ': ping\r\nid: 5\r\nevent: state\rdata: {"a":\ndata: "é"}\n\nretry: 70\n\ndata\n\nid: 6\ndata: x\r\n\r\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, 1000]) {
    const events = [];
    const retries = [];
    const chunks = (async function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
    })();
    await readServerEvents(chunks, { onEvent: (event) => events.push(event), onRetry: (ms) => retries.push(ms) });
    assert.deepEqual(events, [
      { event: "state", data: '{"a":\n"é"}', id: "5" },
      { event: "message", data: "", id: "5" },
      { event: "message", data: "x", id: "6" },
    ]);
    assert.deepEqual(retries, [70]);
  }
});

test("a state and a verdict arrive over the stream, with the key; a cut stream is resumed by its id", async () => {
  const state = stateOf({ run_limit_usd: "0.01" });
  const answer = (request, response, number) => {
    if (number === 1) {
      sse(response, { event: "state", id: 7, data: state });
      response.end();
    } else {
      const expires_at_us = 9e15;
      const data = { verdict_id: "v", scope: "run", scope_id: "run-a", action: "abort", reason: "r", expires_at_us };
      sse(response, { event: "verdict", id: 8, data });
    }
  };
  await serving(answer, async ({ process, guard, requests }) => {
    const run = process.run("a");
    run.startCall();
    await until(() => run.isAborted, "the verdict is carried out");
    assert.equal(guard.status().policy.run_limit_usd, "0.01");
    assert.equal(guard.status().serverAway, false);
    assert.equal(requests[0].headers.authorization, "Bearer k");
    assert.equal(requests[0].headers["last-event-id"], undefined);
    assert.equal(requests[1].headers["last-event-id"], "7");
    assert.equal(requests[1].url, "/v1/guard");
  });
});

test("a stream that falls silent is given up and made anew", async () => {
  const answer = (_, response) => sse(response, { event: "state", id: 1, data: stateOf() });
  await serving(answer, async ({ requests }) => {
    await until(() => requests.length >= 3, "it asks again");
  });
});

test("where streams are refused it polls, and takes up states", async () => {
  let rev = 3;
  const answer = (request, response) => {
    if (request.headers.accept === "text/event-stream") return response.writeHead(406).end();
    const since = new URL(request.url, "http://x").searchParams.get("since");
    if (since === String(rev)) return response.writeHead(204).end();
    response.writeHead(200, { "content-type": "application/json" });
    return response.end(JSON.stringify({ ...stateOf(), rev }));
  };
  await serving(answer, async ({ guard, requests }) => {
    await until(() => guard.status().rev === 3, "the first state");
    rev = 4;
    await until(() => guard.status().rev === 4, "the next state");
    assert.ok(requests.some(({ url }) => url.includes("since=3") && url.includes("wait_s=25")));
  });
});

test("a proxy that holds streams back is noticed, and it polls", async () => {
  const answer = (request, response) => {
    if (request.headers.accept === "text/event-stream") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      return response.flushHeaders();
    }
    return response.writeHead(200).end(JSON.stringify(stateOf()));
  };
  await serving(answer, async ({ guard }) => until(() => guard.status().hasState, "the state"));
});

test("errors, nonsense and a dead server: away meanwhile, back afterwards, one warning for each reason", async () => {
  let broken = true;
  const answer = (_, response, number) => {
    if (!broken) return sse(response, { event: "state", id: 1, data: stateOf({ run_limit_usd: "1" }) });
    if (number % 3 === 0) return response.destroy();
    if (number % 3 === 1) return response.writeHead(503).end("no");
    response.writeHead(200, { "content-type": "text/event-stream" });
    return response.end("event: state\ndata: {nonsense\n\n");
  };
  await serving(answer, async ({ guard, requests, warnings }) => {
    await until(() => requests.length > 6 && guard.status().serverAway, "it is away");
    broken = false;
    await until(() => guard.status().hasState && !guard.status().serverAway, "it is back");
    assert.ok(warnings.some((text) => text.includes("the server answered 503")));
  });
});

test("a refused key is said in plain words and not tried again and again", async () => {
  await serving((_, response) => response.writeHead(401).end(), async ({ guard, requests, warnings }) => {
    await until(() => warnings.length > 0, "the warning");
    assert.match(warnings[0], /refuses the observe key \(401\); run openclaw clawtrace setup/);
    assert.equal(guard.status().serverAway, true);
    assert.equal(requests.length, 1);
  });
});

test("a server without a guard is not called away, and is not asked again and again", async () => {
  await serving((_, response) => response.writeHead(404).end(), async ({ guard, requests, warnings }) => {
    await until(() => guard.status().connection.phase === "no_guard", "it is told");
    assert.match(warnings[0], /answers, but has no guard \(404\)/);
    assert.deepEqual(warnings.length, 1);
    assert.deepEqual(requests.map(({ url }) => url.split("?")[0]), ["/v1/guard", "/v1/guard"]);
    const lines = describeStatus(
      { pid: 1, at_ms: 0, num_events: 0, capture: {}, guard: guard.status() },
      { settings: readSettings({ endpoint: "http://x", observeKey: "k" }, {}), control: {}, nowMs: 0 },
    );
    const said = lines.filter((line) => line.startsWith("Guard:")).join("\n");
    assert.match(said, /the server has no guard \(last\)/);
    assert.match(said, /an older ClawTrace or another server/);
    assert.doesNotMatch(said, /away/);
  });
});

test("close ends it", async () => {
  const answer = (_, response) => sse(response, { event: "state", id: 1, data: stateOf() });
  await serving(answer, async ({ guard, server, connection }) => {
    await until(() => guard.status().hasState, "the state");
    connection.close();
    let open = 1;
    await until(() => (server.getConnections((_, count) => (open = count)), open === 0), "the connection is closed");
  });
});

test("an open stream, and a server that is away, let the process end", async () => {
  const answer = (_, response) => sse(response, { event: "state", id: 1, data: stateOf() });
  const server = createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const module = join(import.meta.dirname, "../src/guard/index.mjs");
  for (const port of [server.address().port, 9]) {
    const code = `
      import { createGuard, connectGuard } from ${JSON.stringify(module)};
      const guard = createGuard({});
      connectGuard({ endpoint: "http://127.0.0.1:${port}", observeKey: "k", guard });
      setTimeout(() => console.log(guard.status().hasState), 400);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code]);
    let said = "";
    child.stdout.on("data", (data) => (said += data));
    const timer = setTimeout(() => child.kill(), WITHIN_MS);
    const [status] = await once(child, "exit");
    clearTimeout(timer);
    assert.equal(status, 0);
    assert.equal(said.trim(), String(port !== 9));
  }
  server.closeAllConnections();
  server.close();
});

test("an endpoint that is no address hurts nobody", async () => {
  const guard = createGuard({});
  const warnings = [];
  const log = { warn: (text) => warnings.push(text) };
  const connection = connectGuard({ endpoint: "not an address", observeKey: "k", guard, awayAfterMs: 0, log });
  await until(() => guard.status().serverAway, "it is away");
  connection.close();
  assert.equal(warnings.length, 1);
});
