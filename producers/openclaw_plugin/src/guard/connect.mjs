/**
 * Keeps the guard told by the server: one stream, resumed when it breaks; long-polling where streams do not get through.
 *
 * Upstream: GET /v1/guard of the gateway.
 * Downstream: the guard (applyState, applyVerdict, setServerAway, setConnection).
 * Guarantee: never throws, never keeps the process alive; says that the server is away only after it could not be
 * reached for a while, and tells a server that is away from one that has no guard and one that refuses the key.
 */

import { readServerEvents } from "./sse.mjs";
import { quietFetch } from "./transport.mjs";

const PATH = "/v1/guard";
const POLL_WAIT_S = 25;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
// Nothing to hurry for: somebody has to give the plugin another key first.
const REFUSED_RETRY_MS = 60_000;
// A proxy that buffers lets no byte of a stream through; after so many such streams, poll.
const MUTE_STREAMS_BEFORE_POLLING = 2;
const NO_STREAM_HERE = new Set([404, 405, 406, 415]);

/**
 * @param {object} options
 * @param {string} options.endpoint
 * @param {string} options.observeKey
 * @param {ReturnType<import("./index.mjs").createGuard>} options.guard
 * @param {typeof quietFetch} [options.fetch] leave it out: the global fetch would keep the process alive
 * @param {{info?: Function, warn?: Function}} [options.log]
 * @param {number} [options.awayAfterMs]
 * @param {number} [options.silentAfterMs] a stream without a byte for so long is dead; the server pings every 15 s
 * @param {number} [options.firstRetryMs]
 */
export function connectGuard({
  endpoint,
  observeKey,
  guard,
  fetch = quietFetch,
  log,
  awayAfterMs = 10_000,
  silentAfterMs = 45_000,
  firstRetryMs = FIRST_RETRY_MS,
}) {
  const stopped = new AbortController();
  const url = String(endpoint).replace(/\/+$/, "") + PATH;
  let lastId;
  let numFailures = 0;
  let numMuteStreams = 0;
  let polling = false;
  let failingSinceMs;
  let lastWarning = "";

  const warn = (text) => {
    if (text === lastWarning) return;
    lastWarning = text;
    try {
      log?.warn?.(`clawtrace guard: ${text}`);
    } catch {
      // The log is somebody else's.
    }
  };
  const inContact = () => {
    failingSinceMs = undefined;
    numFailures = 0;
    lastWarning = "";
    guard.setServerAway(false);
    guard.setConnection("connected", "");
  };
  const takeState = (text, id) => {
    const state = JSON.parse(text);
    guard.applyState(state);
    lastId = id ?? String(state.rev);
  };

  /** Ask once, with everything cut off when nothing comes for too long; `work` gets the answer and a sign of life. */
  const ask = async (target, headers, work) => {
    const cut = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => cut.abort(new Error("the server has gone silent")), silentAfterMs);
      timer.unref?.();
    };
    alive();
    try {
      const signal = AbortSignal.any([stopped.signal, cut.signal]);
      const answer = await fetch(target, { headers: { Authorization: `Bearer ${observeKey}`, ...headers }, signal });
      return await work(answer, alive);
    } finally {
      clearTimeout(timer);
      // Whatever of the answer was not read is not wanted.
      cut.abort();
    }
  };

  /** One stream to its end; returns how long to wait before the next. */
  const stream = () => {
    const headers = { Accept: "text/event-stream", "Cache-Control": "no-cache" };
    if (lastId !== undefined) headers["Last-Event-ID"] = lastId;
    let numBytesSeen = 0;
    let retryMs = firstRetryMs;
    return ask(url, headers, async (answer, alive) => {
      const type = answer.headers.get("content-type") ?? "";
      if (answer.status === 200 && type.includes("text/event-stream")) {
        try {
          await readServerEvents(answer.body, {
            onBytes: () => {
              numBytesSeen += 1;
              numMuteStreams = 0;
              alive();
              inContact();
            },
            onRetry: (ms) => (retryMs = Math.min(ms, LONGEST_RETRY_MS)),
            onEvent: ({ event, data, id }) => {
              if (event === "state") takeState(data, id);
              else if (event === "verdict") guard.applyVerdict(JSON.parse(data));
            },
          });
        } finally {
          if (!numBytesSeen && ++numMuteStreams >= MUTE_STREAMS_BEFORE_POLLING) polling = true;
        }
        return retryMs;
      }
      if (NO_STREAM_HERE.has(answer.status) || answer.status === 200 || answer.status === 204) {
        polling = true;
        return 0;
      }
      return refused(answer);
    });
  };

  const poll = () => {
    const query = new URLSearchParams({ wait_s: String(lastId === undefined ? 0 : POLL_WAIT_S) });
    if (lastId !== undefined) query.set("since", lastId);
    return ask(`${url}?${query}`, { Accept: "application/json" }, async (answer) => {
      if (answer.status !== 200 && answer.status !== 204) return refused(answer);
      if (answer.status === 200) takeState(await answer.text());
      else lastId ??= "0";
      inContact();
      // Not at once: a server that answers every poll immediately must not be asked in a circle.
      return firstRetryMs / 5;
    });
  };

  const refused = (answer) => {
    if (answer.status === 401 || answer.status === 403) {
      return standOff("refused", `the server refuses the observe key (${answer.status}); run openclaw clawtrace setup with a good one`);
    }
    if (answer.status === 404) {
      return standOff("no_guard", `${endpoint} answers, but has no guard (404): it is an older ClawTrace or another server; no limits can come from it`);
    }
    const error = new Error(`the server answered ${answer.status}`);
    error.retryAfterMs = Number(answer.headers.get("retry-after")) * 1000 || 0;
    throw error;
  };

  /** Asking again soon would change nothing: a person has to. */
  const standOff = (phase, text) => {
    warn(text);
    failed();
    guard.setConnection(phase, text);
    return REFUSED_RETRY_MS;
  };

  const failed = () => {
    numFailures += 1;
    // From the first failure on: a gateway that restarts is not away.
    failingSinceMs ??= Date.now();
    if (Date.now() - failingSinceMs >= awayAfterMs) guard.setServerAway(true);
  };

  const run = async () => {
    while (!stopped.signal.aborted) {
      let waitMs;
      try {
        waitMs = await (polling ? poll() : stream());
      } catch (error) {
        if (stopped.signal.aborted) return;
        failed();
        const text = `cannot hear from ${url}: ${error?.message ?? error}`;
        guard.setConnection("away", text);
        warn(text);
        waitMs = Math.min(firstRetryMs * 2 ** Math.min(numFailures - 1, 10), LONGEST_RETRY_MS);
        waitMs = Math.max(waitMs, error?.retryAfterMs ?? 0);
      }
      await pause(waitMs * (0.5 + Math.random() / 2), stopped.signal);
    }
  };
  run().catch((error) => warn(String(error)));

  return { close: () => stopped.abort() };
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    timer.unref?.();
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
