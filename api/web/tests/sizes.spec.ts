/** What a browser has to load before it shows the first page, by the files that the build says it needs. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";

import { expect, test } from "@playwright/test";

const DIST = resolve(import.meta.dirname, "../dist");
const MOST_BYTES = 300_000;

interface Chunk {
  readonly file: string;
  readonly imports?: readonly string[];
}

test("the first page is at most 300 kB of gzipped JavaScript, charts and editor not among it", () => {
  const manifest = JSON.parse(readFileSync(resolve(DIST, ".vite/manifest.json"), "utf8")) as Record<string, Chunk>;
  const needed = new Set<string>();
  const add = (key: string): void => {
    const chunk = manifest[key]!;
    if (needed.has(chunk.file)) return;
    needed.add(chunk.file);
    chunk.imports?.forEach(add);
  };
  add("index.html");
  add("src/pages/overview.tsx");
  const bytes = [...needed].reduce((sum, file) => sum + gzipSync(readFileSync(resolve(DIST, file))).length, 0);
  console.log(`first page: ${bytes} bytes in ${needed.size} files`);
  expect(bytes).toBeLessThanOrEqual(MOST_BYTES);
  expect([...needed].filter((file) => /chart_engine|editor|call_graph/.test(file))).toEqual([]);
});
