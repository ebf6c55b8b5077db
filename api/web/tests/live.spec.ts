/** What people see while it happens: events go through the gateway of the real stack, nothing is reloaded. */
import type { Page } from "@playwright/test";

import { SentRun } from "./sending";
import { expect, served, signIn, test, url } from "./signed_in";

/** From here on the pages hear of news through the stream alone: whatever else they ask is not answered. */
async function onlyTheStream(page: Page): Promise<void> {
  await page.route(/\/v1\/(?!live)/, (route) => route.fulfill({ status: 503, json: { title: "Away", status: 503, detail: "cut by the test" } }));
}

test("a running trace grows while it is watched, from its first call to its end", async ({ page, request }) => {
  await signIn(page, "admin", served().own_keys.admin);
  const run = new SentRun("runaway");
  const numCalls = run.numOf("model_call_started");
  await run.sendUntil(request, "model_call_started");
  // The page can be asked for as soon as the stream has told the trace.
  await expect.poll(async () => (await page.request.get(`${url()}/v1/traces/${run.traceId}/skeleton`)).status()).toBe(200);
  await page.goto(`${url()}/traces/${run.traceId}`);
  const tree = page.getByRole("treegrid");
  const calls = tree.getByRole("row", { name: /chat sim-1/ });
  await expect(page.getByText("grows while you watch")).toBeVisible();
  await expect(calls).toHaveCount(1);
  await expect(calls.first()).toContainText("running");
  await calls.first().click();
  await expect(page).toHaveURL(/span=/);

  await onlyTheStream(page);
  await run.sendUntil(request, "model_call_started", 5);
  await expect(calls).toHaveCount(5);
  await expect(calls.first()).not.toContainText("running");
  await expect(calls.last()).toContainText("running");
  await expect(tree.getByRole("row", { name: /execute_tool exec/ })).toHaveCount(4);
  await expect(tree.locator("[aria-selected='true']")).toHaveAttribute("aria-rowindex", await calls.first().getAttribute("aria-rowindex") ?? "");

  await page.unroute(/\/v1\/(?!live)/);
  await page.getByRole("tab", { name: "Timeline" }).click();
  await expect(page.getByRole("application")).toBeVisible();
  await run.sendUntil(request);
  await expect(page.getByText("grows while you watch")).toHaveCount(0);
  await page.getByRole("tab", { name: "Execution path" }).click();
  await expect(calls).toHaveCount(numCalls);
  await expect(tree.getByText("running", { exact: true })).toHaveCount(0);
});

test("the overview tells of a run, its agent and its alert as they come, by the stream alone", async ({ page, request }) => {
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(url());
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await expect(page.locator(".state .spinner")).toHaveCount(0);
  await onlyTheStream(page);
  const run = new SentRun("runaway");
  await run.sendUntil(request, "before_tool_call", 3);
  const runs = page.getByRole("region", { name: "Newest runs" });
  const row = runs.getByRole("row").filter({ has: page.locator(`a[href*='${run.traceId}']`) });
  await expect(row).toContainText("running");
  const agents = page.getByRole("region", { name: "Agents" });
  await expect(agents.getByRole("listitem").filter({ hasText: "watched-mac" })).toContainText("running");
  await run.sendUntil(request);
  await expect(page.getByRole("list", { name: "Open alerts" }).getByRole("link").first()).toBeVisible();
  await expect(row).toContainText("ok");
  await expect(agents.getByRole("listitem").filter({ hasText: "watched-mac" })).toContainText("idle");
});
