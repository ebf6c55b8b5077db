/**
 * `openclaw clawtrace …`: set up, look, ask, learn, send, pause, and see what would leave the machine.
 *
 * Upstream: a person.
 * Downstream: `setup.mjs`, `ask.mjs`, `evolve/commands.mjs`, `status_files.mjs`, `dry_run.mjs`.
 * Guarantee: works beside a running gateway without touching its spool; every answer is a plain sentence, and the exit
 * code says whether it went well.
 */

import path from "node:path";

import { runAsk } from "./ask.mjs";
import { dryRun } from "./dry_run.mjs";
import * as evolve from "./evolve/commands.mjs";
import { sendStoredEvents } from "./leftovers.mjs";
import { recordOnce } from "./record_once.mjs";
import { homeFolder, readSettings } from "./settings.mjs";
import { runSetup } from "./setup.mjs";
import { isLocked } from "./spool_lock.mjs";
import { readControl, readStatus, writeControl } from "./status_files.mjs";
import { describeStatus } from "./status_text.mjs";

const FLUSH_MS = 60_000;
const POLL_MS = 200;
/** A running process writes its status every second. */
const STALE_MS = 5_000;

export function registerCommands(api) {
  if (typeof api.registerCli !== "function") return;
  api.registerCli(
    ({ program, config }) => {
      const command = program.command("clawtrace").description("Set up ClawTrace and see what it records");
      addCommands(command, contextOf(api, config));
    },
    {
      descriptors: [
        { name: "clawtrace", description: "Set up ClawTrace and see what it records", hasSubcommands: true },
      ],
    },
  );
}

function contextOf(api, config) {
  const pluginConfig = () => config?.plugins?.entries?.clawtrace?.config ?? api.pluginConfig;
  const settings = () => readSettings(pluginConfig());
  const home = () => homeFolder(stateDirOf(api));
  return {
    api,
    config,
    settings,
    home,
    record: (hook, event, ctx) =>
      recordOnce({ home: home(), settings: settings(), hostVersion: hostVersionOf(api) }, hook, event, ctx),
    say: (text) => void process.stdout.write(`${text}\n`),
  };
}

function hostVersionOf(api) {
  try {
    return String(api.runtime.version ?? "").slice(0, 64);
  } catch {
    return "";
  }
}

function stateDirOf(api) {
  try {
    return api.runtime.state.resolveStateDir();
  } catch {
    return undefined;
  }
}

/** @param {any} command a commander command */
export function addCommands(command, context) {
  command
    .command("setup")
    .description("Connect this OpenClaw to ClawTrace and send a test event")
    .option("--endpoint <url>", "address of the ClawTrace gateway (or CLAWTRACE_ENDPOINT)")
    .option("--key <key>", "observe key (or CLAWTRACE_KEY)")
    .option("--api <url>", "address of the ClawTrace API, for questions (or CLAWTRACE_API)")
    .option("--read-key <key>", "read key: gives agents the MCP tools of the API (or CLAWTRACE_READ_KEY)")
    .action((options) => finish(runSetup(options, context)));
  command
    .command("ask <question>")
    .description("Ask ClawTrace about the runs of this OpenClaw")
    .action((question) => finish(runAsk(question, context)));
  addEvolve(command.command("evolve").description("Learn from the runs of this OpenClaw: ask, apply, look, take back"), context);
  command
    .command("status")
    .description("Show spool, connection, guard")
    .option("--json", "as JSON")
    .action((options) => finish(showStatus(options, context)));
  command
    .command("flush")
    .description("Send what waits and say when it has arrived")
    .option("--again", "send also what was sent in the last minutes")
    .action((options) => finish(flush(options, context)));
  command
    .command("pause")
    .description("Keep recording, send nothing")
    .action(() => finish(pause(true, context)));
  command
    .command("resume")
    .description("Send again")
    .action(() => finish(pause(false, context)));
  command
    .command("dry-run")
    .description("Show what would leave this machine, by example or for your own captured hooks")
    .option("--file <path>", 'lines of {"hook", "event", "ctx"}')
    .action((options) => finish(dryRun(options, context)));
}

function addEvolve(command, context) {
  const of = (name, description) =>
    command.command(name).description(description).option("--agent <id>", "whose skill (default: the agent in whose workspace this runs)");
  const about = (it) => it.option("--task <id>", "the task (default: the one that cost most)").option("--days <number>", "days that are looked back", "30");
  about(of("ask", "Say what was wasteful and what would be cheaper; change nothing")).action((options) => finish(evolve.ask(options, context)));
  about(of("apply", "Write what was learned into the skill clawtrace-learned of the workspace"))
    .option("--why <text>", "why you apply it; kept with the change")
    .action((options) => finish(evolve.apply(options, context)));
  of("undo", "Take the last change back")
    .option("--why <text>", "why you take it back")
    .action((options) => finish(evolve.undo(options, context)));
  command
    .command("log")
    .description("List what was changed, and why")
    .option("--json", "as JSON")
    .action((options) => finish(evolve.showLog(options, context)));
}

/** @param {Promise<boolean>} work */
async function finish(work) {
  try {
    if (!(await work)) process.exitCode = 1;
  } catch (error) {
    process.stderr.write(`ClawTrace: ${error?.message ?? error}\n`);
    process.exitCode = 1;
  }
}

async function showStatus(options, { home, settings, say }) {
  const status = readStatus(home());
  if (options.json) {
    say(JSON.stringify({ status, isPaused: readControl(home()).isPaused }, null, 2));
    return true;
  }
  for (const line of describeStatus(status, { settings: settings(), control: readControl(home()), nowMs: Date.now() })) {
    say(line);
  }
  return true;
}

async function pause(isPaused, { home, say }) {
  writeControl(home(), { isPaused });
  say(
    isPaused
      ? "Paused: events are recorded and wait on this machine. Go on with: openclaw clawtrace resume"
      : "Resumed: what waited is being sent.",
  );
  return true;
}

async function flush(options, { home, settings, say }) {
  const folder = home();
  if (readControl(folder).isPaused) {
    say("Sending is paused; go on with: openclaw clawtrace resume");
    return false;
  }
  if (isLocked(path.join(folder, "spool"))) return flushRunning(options, folder, say);
  const { numSent, numLeft, text } = await sendStoredEvents({
    home: folder,
    settings: settings(),
    withinMs: FLUSH_MS,
    isAgain: options.again === true,
  });
  say(numLeft === 0 ? `Sent ${numSent} events; nothing is left.` : `Sent ${numSent}, ${numLeft} wait: ${text}.`);
  return numLeft === 0;
}

/** The running process sends by itself; what a person wants to know is when it is done. */
async function flushRunning(options, folder, say) {
  if (options.again) writeControl(folder, { replayAskedAtMs: Date.now() });
  const untilMs = Date.now() + FLUSH_MS;
  const askedAtMs = Date.now();
  let status = readStatus(folder);
  while (Date.now() < untilMs) {
    status = readStatus(folder);
    // One look of the running process after the question at least.
    if (status?.at_ms > askedAtMs + (options.again ? 2_000 : 0) && status.spool?.num_waiting === 0) {
      say("Everything has arrived.");
      return true;
    }
    if (status && Date.now() - status.at_ms > STALE_MS && Date.now() - askedAtMs > STALE_MS) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  say(`${status?.spool?.num_waiting ?? "Some"} events wait: ${status?.sender?.text ?? "the running process does not answer"}.`);
  return false;
}
