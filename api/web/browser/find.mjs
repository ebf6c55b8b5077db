/**
 * Which Chromium there is: the one that is named, the machine's own, or the one that was unpacked here.
 *
 * Upstream: CLAWTRACE_CHROMIUM (a path, or "packaged" for the one here); the machine.
 * Downstream: `make setup-browser`, by its exit code; tests/browser.ts and tests/integration/test_pages.py.
 * Guarantee: what is told has been started once, so a library that lacks is found here and not in every test.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const UNPACKED = resolve(import.meta.dirname, "unpacked");
const INSTALLED = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const STARTS_WITHIN_MS = 60_000;

/** How a Chromium is started; undefined when there is none. */
export function findBrowser() {
  const wanted = process.env.CLAWTRACE_CHROMIUM;
  const installed = wanted === undefined ? INSTALLED.find(existsSync) : wanted === "packaged" ? undefined : wanted;
  if (installed !== undefined) return { executablePath: installed, args: [], env: {} };
  if (!existsSync(UNPACKED)) return undefined;
  return {
    executablePath: resolve(UNPACKED, "chromium"),
    args: ["--font-render-hinting=none"],
    // Its own libraries and font: it asks nothing of the machine but its C library.
    env: { LD_LIBRARY_PATH: resolve(UNPACKED, "al2023/lib"), FONTCONFIG_FILE: resolve(UNPACKED, "fonts.conf") },
  };
}

/** Start it as the tests do and look at a page; return what went wrong. */
async function faultOf({ executablePath, args, env }) {
  const { chromium } = await import("@playwright/test");
  try {
    const browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-gpu", ...args],
      env: { ...process.env, ...env },
      timeout: STARTS_WITHIN_MS,
    });
    const page = await browser.newPage();
    await page.setContent("<p>it starts</p>");
    const text = await page.textContent("p");
    await browser.close();
    return text === "it starts" ? undefined : "it shows nothing";
  } catch (error) {
    return String(error);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isQuiet = process.argv.includes("--quiet");
  const found = findBrowser();
  const wrong = found === undefined ? "no Chromium was found" : await faultOf(found);
  if (wrong === undefined) console.log(`Chromium: ${found.executablePath}`);
  else if (!isQuiet) console.error(found === undefined ? wrong : `${found.executablePath} does not start: ${wrong.slice(0, 500)}`);
  process.exitCode = wrong === undefined ? 0 : 1;
}
