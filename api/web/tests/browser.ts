/**
 * Which Chromium the tests use, and how it is started.
 *
 * Upstream: CLAWTRACE_CHROMIUM, the machine's own Chromium, or what `make setup-browser` unpacked.
 * Downstream: playwright.config.ts.
 * Guarantee: an unpacked one brings its own libraries and font, so it asks nothing of the machine but its C library.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";

import type { LaunchOptions } from "@playwright/test";

const UNPACKED = resolve(import.meta.dirname, "../browser/unpacked");
const INSTALLED = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const ARGS = ["--no-sandbox", "--disable-gpu"];

export function launchOptions(): LaunchOptions {
  const wanted = process.env["CLAWTRACE_CHROMIUM"];
  const installed = wanted === undefined ? INSTALLED.find(existsSync) : wanted;
  if (installed !== undefined && installed !== "packaged") return { executablePath: installed, args: ARGS };
  return {
    executablePath: resolve(UNPACKED, "chromium"),
    args: [...ARGS, "--font-render-hinting=none"],
    env: { ...process.env, LD_LIBRARY_PATH: resolve(UNPACKED, "al2023/lib"), FONTCONFIG_FILE: resolve(UNPACKED, "fonts.conf") },
  };
}
