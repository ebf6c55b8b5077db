/** Every page shows what the demo's runs hold, in both themes and narrow, without a finding of axe and without breaking its CSP. */
import type { Page } from "@playwright/test";

import { axeFindings } from "./axe";
import { expect, lookingTest, test, traceNamed, url } from "./signed_in";

/**
 * Hold what is shown to every rule of axe in light; in dark to its rule of contrast, as nothing else is different
 * there; and on a telephone to its width.
 */
async function expectSound(page: Page, what: string, part = "html"): Promise<void> {
  expect.soft(await axeFindings(page, part), `${what}, light`).toEqual([]);
  await page.emulateMedia({ colorScheme: "dark" });
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  expect.soft(await axeFindings(page, part, ["color-contrast"]), `${what}, dark`).toEqual([]);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 400, height: 800 });
  const sidewaysPx = () => page.evaluate(() => Math.max(...[document.documentElement, document.querySelector("main")!].map((box) => box.scrollWidth - box.clientWidth)));
  await expect.soft.poll(sidewaysPx, `${what} scrolls sideways when narrow`).toBe(0);
  await page.setViewportSize({ width: 1360, height: 860 });
}

const PAGES: readonly (readonly [string, string, RegExp])[] = [
  ["overview", "/", /Newest runs/],
  ["agents", "/agents", /openclaw-captures/],
  ["an agent", "/agents/openclaw-captures", /Error rate/],
  ["traces", "/traces", /Keep polling/],
  ["alerts", "/alerts", /A run has spent/],
  ["rules", "/alerts?tab=rules", /What it looks for/],
  ["budgets", "/alerts?tab=budgets", /Make a budget/],
  ["channels", "/alerts?tab=channels", /Add a channel/],
  ["SQL", "/sql", /Dearest runs of the week/],
  ["settings", "/settings", /Make a key/],
  ["members", "/settings?tab=members", /Member/],
  ["prices", "/settings?tab=prices", /Prices that hold today/],
  ["retention", "/settings?tab=retention", /How long rows stay/],
  ["changes", "/settings?tab=audit", /Changes/],
  ["get started", "/start", /Waiting for the first event/],
  ["an unknown address", "/nowhere/at/all", /Nothing is at this address/],
];

test("login", async ({ page }) => {
  await page.goto(url());
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
  await expectSound(page, "login");
});

for (const [name, path, told] of PAGES) {
  lookingTest(name, async ({ page }) => {
    await page.goto(url() + path);
    await expect(page.getByRole("main")).toContainText(told);
    await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
    await expect(page.locator(".state .spinner")).toHaveCount(0);
    expect(await page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === "running").length), "something moves").toBe(0);
    await expectSound(page, name);
  });
}

lookingTest("dialogs of rules, budgets, channels and a halt", async ({ page }) => {
  for (const [address, button] of [
    ["/alerts?tab=rules", "session cost"],
    ["/alerts?tab=budgets", "Make a budget"],
    ["/alerts?tab=channels", "Add a channel"],
    ["/agents/openclaw-captures", "Halt"],
  ] as const) {
    await page.goto(url() + address);
    await page.getByRole("button", { name: button, exact: true }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectSound(page, button, "dialog[open]");
  }
});

lookingTest("a trace in four views with a step", async ({ page, request }) => {
  const trace = await traceNamed(request, "subagent");
  for (const [view, part] of [
    ["path", page.getByRole("treegrid")],
    ["graph", page.getByRole("button", { name: /main\s*agent/ }).first()],
    ["timeline", page.getByRole("application")],
    ["cost", page.getByRole("table", { name: "Tool results by what they cost" })],
  ] as const) {
    await page.goto(`${url()}/traces/${trace}?view=${view}`);
    await expect(part).toBeVisible();
    if (view === "path") await page.getByRole("treegrid").getByText("chat").first().click();
    if (view === "path") await expect(page.getByRole("heading", { name: "Output" })).toBeVisible();
    await expectSound(page, view);
  }
});

lookingTest("comparing two traces", async ({ page, request }) => {
  await page.goto(`${url()}/compare/${await traceNamed(request, "subagent")}/${await traceNamed(request, "runaway")}`);
  await expect(page.getByText("The second run cost")).toContainText("$0.049 more");
  await expectSound(page, "compare");
});

test("the page itself may run nothing but its own files", async ({ page }) => {
  const answer = await page.request.get(`${url()}/traces`);
  const policy = answer.headers()["content-security-policy"] ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toMatch(/unsafe|data:|https?:|\*/);
  const files = [...(await answer.text()).matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1]!);
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    expect((await page.request.get(url() + file)).headers()["cache-control"]).toContain("immutable");
  }
  expect((await page.request.get(`${url()}/assets/..%2f..%2fpackage.json`)).status()).toBe(404);
  expect((await page.request.get(`${url()}/v1/nothing`)).headers()["content-type"]).toContain("json");
});
