/**
 * The status of the plugin in plain words.
 *
 * Upstream: the status file.
 * Downstream: `cli.mjs`.
 * Guarantee: pure; says first what a person has to do, if anything.
 */

const STALE_MS = 5_000;

/**
 * @param {any} status content of the status file, or null
 * @param {{settings: import("./settings.mjs").Settings, control: {isPaused: boolean}, nowMs: number}} about
 * @returns {string[]} lines
 */
export function describeStatus(status, { settings, control, nowMs }) {
  const lines = [...settings.problems.map((problem) => `Settings:    ${problem}`)];
  if (!settings.endpoint || !settings.observeKey) {
    lines.push("Not set up:  run openclaw clawtrace setup; until then events wait on this machine.");
  }
  if (control.isPaused) lines.push("Paused:      recording goes on, nothing is sent; openclaw clawtrace resume");
  if (status === null) {
    lines.push("Running:     no agent has run with ClawTrace yet.");
    return lines;
  }
  const isLive = status.pid !== null && nowMs - status.at_ms < STALE_MS;
  const since = ago(nowMs - status.at_ms);
  lines.push(
    isLive ? `Running:     yes (process ${status.pid}, OpenClaw ${status.host_version})` : `Running:     not now; last seen ${since}`,
    `Endpoint:    ${settings.endpoint || "none"}`,
  );
  if (status.sender) {
    const { last_ack_at_ms: ackAtMs, phase, text } = status.sender;
    lines.push(`Connection:  ${phase}: ${text}`);
    lines.push(`Last ack:    ${ackAtMs ? ago(nowMs - ackAtMs) : "none since the process started"}`);
  }
  if (status.spool) {
    const { num_waiting: numWaiting, num_bytes: numBytes, max_bytes: maxBytes, folder } = status.spool;
    lines.push(`Spool:       ${numWaiting} events wait; ${megabytes(numBytes)} of ${megabytes(maxBytes)} in ${folder}`);
    lines.push(`Lost:        ${lossOf(status)}`);
  }
  lines.push(`Recorded:    ${status.num_events} events; ${captureOf(status.capture)}`);
  if (status.hooks?.num > 0) {
    const { p50_us: p50, p99_us: p99 } = status.hooks;
    lines.push(`Cost:        a hook takes ${milliseconds(p50)} ms as a rule, ${milliseconds(p99)} ms at the 99th percentile`);
  }
  return [...lines, ...guardLines(status.guard)];
}

function lossOf({ spool, sender, num_failures: numFailures }) {
  const parts = [
    [spool.lost, "events of the spool"],
    [spool.write_errors, "writes to disk failed"],
    [sender?.dropped, "events the gateway would not take"],
    [sender?.rejected, "events the gateway set aside"],
    [sender?.lost_blobs, "big values"],
    [numFailures, "failures inside of hooks"],
  ];
  const told = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return told.length > 0 ? told.join(", ") : "nothing";
}

function captureOf(capture) {
  const limited = Object.entries(capture).filter(([, mode]) => mode !== "full");
  if (limited.length === 0) return "in full, secrets removed";
  return `${limited.map(([category, mode]) => `${category}: ${mode}`).join(", ")}, secrets removed`;
}

function guardLines(guard) {
  if (!guard) return ["Guard:       off"];
  const { policy, hasState, spentTodayUsd, connection, allowances = [], holds = [] } = guard;
  const limits = Object.entries(policy ?? {})
    .filter(([name, value]) => name.endsWith("_usd") && value !== null)
    .map(([name, value]) => `${name.replace("_limit_usd", "").replaceAll("_", " ")} $${value}`);
  const rule = hasState ? limits.join(", ") || "no limits" : "no policy received yet";
  const lines = [
    `Guard:       ${rule}${awayOf(guard)}${spentTodayUsd ? `; $${spentTodayUsd} spent today` : ""}`,
  ];
  if (["refused", "no_guard"].includes(connection?.phase)) lines.push(`Guard:       ${connection.text}`);
  for (const item of allowances) {
    lines.push(`Allowance:   ${item.scope} ${item.scopeId}: $${item.drawnUsd} of $${item.grantedUsd} used`);
  }
  for (const hold of holds) lines.push(`Stopped:     ${hold.scope} ${hold.scopeId}: ${hold.reason}`);
  return lines;
}

/** A server that answers is not away, even if it says nothing of use. */
function awayOf({ policy, serverAway, connection }) {
  if (!serverAway) return "";
  const what = { refused: "the server refuses the key", no_guard: "the server has no guard" }[connection?.phase];
  return `; ${what ?? "the server is away"} (${policy?.posture})`;
}

function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3_600)} h ago`;
}

function milliseconds(us) {
  return (us / 1000).toFixed(2);
}

function megabytes(bytes) {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
