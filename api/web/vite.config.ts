import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where the API of the local stack listens, for `npm run dev` only; the built pages are served by the API itself.
const api = process.env["CLAWTRACE_API_URL"] ?? "http://127.0.0.1:4601";

export default defineConfig({
  plugins: [react()],
  base: "/",
  build: { outDir: "dist", target: "es2023", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  server: { proxy: { "/v1": api, "/healthz": api } },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true },
});
