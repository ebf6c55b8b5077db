/**
 * Starts the API of this checkout with the built pages, and stops it afterwards.
 *
 * Upstream: `make test-web`, with the home of a running stack in the environment.
 * Downstream: every test, through CLAWTRACE_E2E.
 * Guarantee: a server that does not start ends the run with what it said.
 */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

const ROOT = resolve(import.meta.dirname, "../../..");

export default async function start(): Promise<() => Promise<void>> {
  const server = spawn(resolve(ROOT, ".venv/bin/python"), ["-m", "tests.e2e.served_api"], {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  process.env["CLAWTRACE_E2E"] = await new Promise<string>((ready, fail) => {
    createInterface({ input: server.stdout }).once("line", ready);
    server.once("exit", (code) => fail(new Error(`the API did not start (${code}); is a stack running?`)));
  });
  return async () => {
    const ended = new Promise((done) => server.once("exit", done));
    server.stdin.end();
    await ended;
  };
}
