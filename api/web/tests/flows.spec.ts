/** What people do: sign in, filter, walk a tree by keys, look at a step, see to an alert, run SQL, make a key. */
import { axeFindings } from "./axe";
import { expect, keyOf, signIn, test, traceNamed, url } from "./signed_in";

test("sign in with a key, come back to the same page, sign out", async ({ page }) => {
  await page.goto(`${url()}/traces?status=ok`);
  await page.getByLabel("Access key").fill("ct_read_nothing");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await page.getByLabel("Access key").fill(keyOf("read"));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Traces" })).toBeVisible();
  await expect(page.getByLabel("Status")).toHaveValue("ok");
  const stored = await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]));
  expect(stored).not.toContain("ct_");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Access key")).toBeVisible();
});

test("filters are saved in the address", async ({ page }) => {
  await signIn(page);
  await page.goto(`${url()}/traces`);
  await expect(page.getByRole("link", { name: /Keep polling/ }).first()).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("subagent");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/text=subagent/);
  await expect(page.getByRole("link", { name: /Keep polling/ })).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole("link", { name: /Have a helper/ }).first()).toBeVisible();
  await expect(page.getByLabel("Name or error")).toHaveValue("subagent");
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: /^Cost/ }).click();
  await expect(page).toHaveURL(/sort=-cost_usd/);
  await expect(page.getByRole("row").nth(1)).toContainText("runaway");
});

test("a trace by keys alone", async ({ page, request }) => {
  await signIn(page);
  await page.goto(`${url()}/traces/${await traceNamed(request, "subagent")}`);
  const tree = page.getByRole("treegrid");
  await expect(tree).toBeVisible();
  await tree.focus();
  const active = () => tree.getAttribute("aria-activedescendant");
  const row = async () => page.locator(`#${await active()}`);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await expect(await row()).toContainText("sessions_spawn");
  await expect(await row()).toHaveAttribute("aria-expanded", "true");
  const before = await tree.getByRole("row").count();
  await page.keyboard.press("ArrowLeft");
  await expect(await row()).toHaveAttribute("aria-expanded", "false");
  expect(await tree.getByRole("row").count()).toBeLessThan(before);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("complementary", { name: "Step" })).toBeVisible();
  await expect(page).toHaveURL(/span=/);
  await page.getByRole("button", { name: "Close the step" }).focus();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("complementary", { name: "Step" })).toHaveCount(0);
  await expect(tree).toBeFocused();
  await page.keyboard.press("Tab");
  await page.getByRole("tab", { name: "Execution path" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("tab", { name: "Call graph" })).toHaveAttribute("aria-selected", "true");
  await page.getByRole("button", { name: /fake\/sim-1\s*model/ }).press("Enter");
  await page.getByRole("region", { name: /Calls of/ }).getByRole("button").first().click();
  await expect(page.getByRole("complementary", { name: "Step" })).toContainText("Fresh input");
  await page.getByRole("tab", { name: "Timeline" }).click();
  const timeline = page.getByRole("application");
  await timeline.focus();
  await page.keyboard.press("Home");
  await expect(timeline).toHaveAccessibleName(/invoke_agent main/);
  await page.keyboard.press("ArrowRight");
  await expect(timeline).toHaveAccessibleName(/chat sim-1/);
  await page.getByRole("tab", { name: "Timeline" }).focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("heading", { name: "Against the usual run of the task" })).toBeVisible();
  await page.getByRole("table", { name: "Tool results by what they cost" }).getByRole("button").first().press("Enter");
  await expect(page.getByRole("complementary", { name: "Step" })).toContainText(/Input/);
});

test("a trace is taken away in the form that is chosen, by keys", async ({ page, request }) => {
  await signIn(page);
  await page.goto(`${url()}/traces/${await traceNamed(request, "subagent")}`);
  await page.getByRole("button", { name: "Export" }).press("Enter");
  await expect(page.getByRole("menuitem", { name: "NDJSON" })).toBeFocused();
  await page.keyboard.press("p");
  await expect(page.getByRole("menuitem", { name: "Parquet" })).toBeFocused();
  expect(await axeFindings(page, ".menu-box")).toEqual([]);
  const file = page.waitForEvent("download");
  await page.keyboard.press("Enter");
  expect((await file).suggestedFilename()).toMatch(/\.parquet$/);
  await expect(page.getByRole("button", { name: "Export" })).toBeFocused();
});

test("a ClawTrace that does not answer is said, what was read stays, and comes back by itself", async ({ page }) => {
  await page.clock.install();
  await signIn(page);
  await page.goto(`${url()}/traces`);
  const run = page.getByRole("link", { name: /Keep polling/ }).first();
  await expect(run).toBeVisible();
  await page.goto(url());
  await expect(run).toBeVisible();
  await page.route(/\/v1\//, (route) => route.abort());
  const bar = page.getByText("ClawTrace does not answer.");
  const passes = (check: () => Promise<void>) => expect(async () => {
    await page.clock.runFor(5_000);
    await check();
  }).toPass();
  await page.clock.fastForward(31_000);
  await passes(() => expect(bar).toBeVisible({ timeout: 500 }));
  await expect(run).toBeVisible();
  // What was never read says so in its place.
  await page.getByRole("link", { name: "Agents", exact: true }).click();
  await passes(() => expect(page.getByRole("alert")).toBeVisible({ timeout: 500 }));
  await page.unroute(/\/v1\//);
  await passes(() => expect(page.getByRole("region", { name: "Agents" })).toBeVisible({ timeout: 500 }));
  await expect(bar).toHaveCount(0);
});

test("a step shows its payloads as text, whatever they hold", async ({ page, request }) => {
  await signIn(page);
  const trace = await traceNamed(request, "tool-error");
  await page.route(/\/spans\/.*payloads=true/, async (route) => {
    const answer = await route.fetch();
    const span = (await answer.json()) as Record<string, unknown>;
    const input = JSON.stringify({ html: "<img src=x onerror=\"document.title='broken'\">", list: Array.from({ length: 300 }, (_, at) => at) });
    await route.fulfill({ json: { ...span, input, input_chars: input.length, output: "half of somethi", output_chars: 90_000, next_offset: 50_000 } });
  });
  await page.goto(`${url()}/traces/${trace}`);
  await page.getByRole("button", { name: /Next of \d+ failed/ }).click();
  const step = page.getByRole("complementary", { name: "Step" });
  await expect(step.getByText("<img src=x")).toBeVisible();
  await expect(step.locator("img")).toHaveCount(0);
  await expect(step.getByRole("button", { name: "200 more" })).toBeVisible();
  await expect(step.getByRole("button", { name: /Show more/ })).toBeVisible();
  await expect(step.getByLabel("Error")).toBeVisible();
  await expect(page).not.toHaveTitle("broken");
});

test("an alert leads to its step, is seen to and taken up again", async ({ page }) => {
  await signIn(page, "operate");
  await page.goto(`${url()}/alerts`);
  await page.getByRole("link", { name: /A run has spent/ }).first().click();
  const detail = page.getByRole("complementary", { name: "Alert" });
  await expect(detail).toContainText("$0.056");
  await detail.getByLabel("What is done about it").fill("looked at it");
  await detail.getByRole("button", { name: "I see to it" }).click();
  await expect(detail).toContainText("looked at it");
  await detail.getByRole("button", { name: "Not seen to after all" }).click();
  await expect(detail.getByRole("button", { name: "I see to it" })).toBeVisible();
  await detail.getByRole("button", { name: "Snooze" }).click();
  await expect(detail).toContainText("Quiet until");
  await detail.getByRole("button", { name: "Not quiet any more" }).click();
  await expect(detail.getByRole("button", { name: "Snooze" })).toBeVisible();
  await detail.getByRole("link", { name: "Show the step" }).click();
  await expect(page.getByRole("complementary", { name: "Step" })).toContainText("run cost");
});

test("who may only read is not offered to act", async ({ page }) => {
  await signIn(page, "read");
  await page.goto(`${url()}/alerts`);
  await page.getByRole("link", { name: /A run has spent/ }).first().click();
  await expect(page.getByText("you need the role operator")).toBeVisible();
  await page.goto(`${url()}/settings`);
  await expect(page.getByText("Settings need the role admin")).toBeVisible();
});

test("SQL runs, charts, exports, and says what is wrong", async ({ page }) => {
  await signIn(page);
  await page.goto(`${url()}/sql`);
  await page.getByRole("button", { name: "Tools that fail" }).click();
  await page.getByRole("textbox", { name: "SQL" }).press("Control+Enter");
  const result = page.getByRole("region", { name: "Result" });
  await expect(result.getByRole("cell", { name: "exec", exact: true })).toBeVisible();
  await result.getByRole("button", { name: "Chart" }).click();
  await expect(result.locator("canvas")).toBeVisible();
  const file = page.waitForEvent("download");
  await result.getByRole("button", { name: "CSV" }).click();
  expect((await file).suggestedFilename()).toBe("clawtrace.csv");
  await page.getByText("spans", { exact: true }).click();
  await expect(page.getByText("run_cache_read_tokens")).toBeVisible();
  await page.goto(`${url()}/sql?q=${encodeURIComponent("SELECT nothing FROM nowhere")}`);
  await page.getByRole("button", { name: /^Run/ }).click();
  await expect(page.getByRole("alert")).toContainText("nowhere");
});

test("a key is shown once and can be revoked", async ({ page }) => {
  await signIn(page);
  await page.goto(`${url()}/settings`);
  await page.getByLabel(/^Agent/).fill("browser-test");
  await page.getByRole("button", { name: "Make a key" }).click();
  const dialog = page.getByRole("dialog", { name: "Your new key" });
  const key = (await dialog.locator("pre").textContent()) ?? "";
  expect(key).toMatch(/^ct_ingest_/);
  await page.keyboard.press("Escape");
  await expect(page.getByText(key)).toHaveCount(0);
  const keyId = key.split("_")[2]!;
  await page.getByRole("button", { name: `Revoke ${keyId}` }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("row", { name: new RegExp(keyId) })).toContainText("revoked");
});

test("help, theme and pages by keys", async ({ page }) => {
  await signIn(page);
  await page.goto(url());
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "To the content" })).toBeFocused();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.keyboard.press("Escape");
  await page.getByLabel("Theme").selectOption("dark");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.locator("h1").click();
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await expect(page.getByRole("heading", { name: "SQL" })).toBeVisible();
  // A page without a search leads to the one of all runs; lines are walked by j and k.
  await page.locator("h1").click();
  await page.keyboard.press("g");
  await page.keyboard.press("g");
  await page.keyboard.press("/");
  await expect(page.getByLabel("Name or error")).toBeFocused();
  await expect(page.getByRole("link", { name: /Keep polling/ }).first()).toBeVisible();
  await page.locator("h1").click();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await expect(page.getByRole("row").nth(2).getByRole("link").first()).toBeFocused();
  await page.keyboard.press("k");
  await expect(page.getByRole("row").nth(1).getByRole("link").first()).toBeFocused();
});
