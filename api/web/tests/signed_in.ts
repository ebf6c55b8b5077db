/**
 * A page that is signed in, and that remembers what the browser complained about.
 *
 * Upstream: global_setup.
 * Downstream: the tests.
 * Guarantee: a page that broke its Content-Security-Policy, or threw, fails its test.
 */
import process from "node:process";

import { type APIRequestContext, expect, type Page, test as base } from "@playwright/test";

type Scope = "read" | "operate" | "admin";

/** What tests.e2e.served_api tells. */
interface Served {
  readonly url: string;
  readonly gateway_url: string;
  /** Takes every webhook. */
  readonly receiver_url: string;
  readonly keys: Readonly<Record<Scope, string>>;
  /** Of a tenant that has nothing but what the tests of this run send. */
  readonly own_keys: Readonly<Record<Scope | "ingest", string>>;
}

export const served = (): Served => JSON.parse(process.env["CLAWTRACE_E2E"]!) as Served;
export const url = (): string => served().url;
export const keyOf = (scope: Scope): string => served().keys[scope];

export async function signIn(page: Page, scope: Scope = "admin", key: string = keyOf(scope)): Promise<void> {
  const answer = await page.request.post(`${url()}/v1/session`, { data: { key } });
  expect(answer.status()).toBe(201);
}

/** Traces of the demo, found by a word of their name. */
export async function traceNamed(request: APIRequestContext, word: string): Promise<string> {
  const answer = await request.get(`${url()}/v1/traces`, {
    params: { text: word, limit: 1 },
    headers: { authorization: `Bearer ${keyOf("read")}` },
  });
  const { items } = (await answer.json()) as { items: { trace_id: string }[] };
  expect(items, `a trace named ${word}: run the demo first`).toHaveLength(1);
  return items[0]!.trace_id;
}

/** What the browser complains about from now on. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) complaints.push(text);
  });
  return complaints;
}

export const test = base.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const complaints = complaintsOf(page);
      await use(complaints);
      expect(complaints).toEqual([]);
    },
    { auto: true },
  ],
});

interface Visit {
  readonly page: Page;
  readonly complaints: string[];
}

/**
 * One page for all tests that only look: signed in once, its scripts read once, in light and without motion.
 * What a test turns, such as the theme, the next one finds turned back.
 */
export const lookingTest = base.extend<{ page: Page }, { visit: Visit }>({
  visit: [
    async ({ browser }, use) => {
      const context = await browser.newContext();
      const page = await context.newPage();
      await signIn(page);
      await use({ page, complaints: complaintsOf(page) });
      await context.close();
    },
    { scope: "worker" },
  ],
  page: async ({ visit: { page, complaints } }, use) => {
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.setViewportSize({ width: 1360, height: 860 });
    await use(page);
    expect(complaints.splice(0)).toEqual([]);
  },
});
export { expect };
