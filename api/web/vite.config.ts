import react from "@vitejs/plugin-react";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

// Where the API of the local stack listens, for `npm run dev` only; the built pages are served by the API itself.
const api = loadEnv("", ".", "CLAWTRACE_")["CLAWTRACE_API_URL"] ?? "http://127.0.0.1:4601";

export default defineConfig({
  plugins: [react()],
  base: "/",
  // The manifest tells the test of sizes which files the first page needs; the worker is a file, as the CSP wants it.
  // What is loaded when needed may be large: ECharts is; what the first page may weigh is a test's matter.
  build: {
    outDir: "dist",
    target: "es2023",
    manifest: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1_000,
    reportCompressedSize: false,
  },
  worker: { format: "es" },
  server: { proxy: { "/v1": api, "/healthz": api } },
  // Logic alone, without a document: the files share a worker, and start in a tenth of the time.
  test: { include: ["src/**/*.test.ts"], isolate: false },
});
