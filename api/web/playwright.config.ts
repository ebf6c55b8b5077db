import { defineConfig } from "@playwright/test";

import { launchOptions } from "./tests/browser";

/** Real pages in Chromium, served by the API of this checkout over a stack that runs already. */
export default defineConfig({
  testDir: "tests",
  globalSetup: "./tests/global_setup.ts",
  outputDir: "test-results",
  // One stack, two cores: pages that wait for each other tell nothing.
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  use: {
    viewport: { width: 1360, height: 860 },
    launchOptions: launchOptions(),
    trace: "off",
    screenshot: "only-on-failure",
  },
});
