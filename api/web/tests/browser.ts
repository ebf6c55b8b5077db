/**
 * How the tests start their Chromium.
 *
 * Upstream: browser/find.mjs.
 * Downstream: playwright.config.ts.
 * Guarantee: without a Chromium the tests fail at their start and say what to do.
 */
import process from "node:process";

import type { LaunchOptions } from "@playwright/test";

import { findBrowser } from "../browser/find.mjs";

export function launchOptions(): LaunchOptions {
  const found = findBrowser();
  if (found === undefined) throw new Error("There is no Chromium; run: make setup-browser");
  return {
    executablePath: found.executablePath,
    args: ["--no-sandbox", "--disable-gpu", ...found.args],
    env: { ...process.env, ...found.env },
  };
}
