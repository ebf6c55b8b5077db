/**
 * Pictures of every page, dark, light and narrow, for people to look at; `make screenshots` names the folder.
 *
 * Upstream: the demo's runs.
 * Downstream: PNG files in CLAWTRACE_SCREENSHOTS, outside the checkout.
 * Guarantee: a page is taken when nothing is loading any more.
 */
import process from "node:process";

import { SentRun } from "./sending";
import { expect, keyOf, served, signIn, test, traceNamed, url } from "./signed_in";

const folder = process.env["CLAWTRACE_SCREENSHOTS"];
const only = process.env["CLAWTRACE_SCREENSHOT_PAGES"]?.split(",");
const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1360, height: 860 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1360, height: 860 } },
  { name: "narrow", colorScheme: "light", viewport: { width: 400, height: 800 } },
] as const;

test.skip(folder === undefined, "make screenshots sets the folder");

const headers = () => ({ authorization: `Bearer ${keyOf("admin")}` });

/** Something to see on the pages of budgets and channels; neither stops or tells anybody of the demo. */
const BUDGETS = [
  { window: "day", unit: "usd", limit: "0.25", action: "none" },
  { window: "month", unit: "tokens", limit: "500000", action: "none", agent_id: "openclaw-captures" },
];

test.beforeAll(async ({ request }) => {
  for (const data of BUDGETS) expect((await request.put(`${url()}/v1/budgets`, { headers: headers(), data })).status()).toBe(200);
  const target = { kind: "webhook", url: `${served().receiver_url}/hook`, secret: `whsec_${"QUJD".repeat(11)}` };
  const made = await request.post(`${url()}/v1/channels`, { headers: headers(), data: { name: "pictures", target, filters: { min_severity: "critical" } } });
  expect(made.status(), await made.text()).toBe(201);
});

test.afterAll(async ({ request }) => {
  const { items } = (await (await request.get(`${url()}/v1/budgets`, { headers: headers() })).json()) as { items: { budget_id: string; action: string }[] };
  for (const { budget_id, action } of items) if (action === "none") await request.delete(`${url()}/v1/budgets/${budget_id}`, { headers: headers() });
  await request.delete(`${url()}/v1/channels/pictures`, { headers: headers() });
});

for (const look of LOOKS) {
  test.describe(look.name, () => {
    test.use({ colorScheme: look.colorScheme, viewport: look.viewport });

    test("every page", async ({ page, request }) => {
      test.setTimeout(300_000);
      const take = async (name: string) => {
        await expect(page.locator(".state .spinner")).toHaveCount(0);
        // Charts and pictures are drawn in the frames after their data came.
        await page.evaluate(() => new Promise((done) => requestIdleCallback(done, { timeout: 3_000 })));
        if (only === undefined || only.includes(name)) {
          await page.screenshot({ path: `${folder}/${name}-${look.name}.png`, animations: "disabled" });
        }
      };
      await page.goto(url());
      await expect(page.getByLabel("Access key")).toBeVisible();
      await take("login");
      await signIn(page);
      const runaway = await traceNamed(request, "runaway");
      const nested = await traceNamed(request, "subagent");
      const agent = "openclaw-captures";
      const pages: Record<string, string> = {
        overview: "/",
        agents: "/agents",
        agent: `/agents/${agent}?range=24h`,
        traces: "/traces",
        "trace-path": `/traces/${nested}`,
        "trace-graph": `/traces/${nested}?view=graph`,
        "trace-timeline": `/traces/${nested}?view=timeline`,
        compare: `/compare/${runaway}/${nested}`,
        alerts: "/alerts",
        rules: "/alerts?tab=rules",
        budgets: "/alerts?tab=budgets",
        channels: "/alerts?tab=channels",
        sql: "/sql",
        settings: "/settings",
        members: "/settings?tab=members",
        prices: "/settings?tab=prices",
        retention: "/settings?tab=retention",
        changes: "/settings?tab=audit",
        start: "/start",
      };
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(url() + path);
        await expect(page.locator("h1")).toBeVisible();
        await take(name);
      }
      for (const [name, address, button] of [
        ["rule", "/alerts?tab=rules", "session cost"],
        ["budget-form", "/alerts?tab=budgets", "Make a budget"],
        ["channel-form", "/alerts?tab=channels", "Add a channel"],
        ["halt", `/agents/${agent}`, "Halt"],
      ] as const) {
        await page.goto(url() + address);
        await page.getByRole("button", { name: button, exact: true }).click();
        await expect(page.getByRole("dialog")).toBeVisible();
        await take(name);
      }
      await page.goto(`${url()}/traces/${nested}`);
      await page.getByRole("treegrid").getByText("chat", { exact: false }).first().click();
      await expect(page.getByRole("heading", { name: "Output" })).toBeVisible();
      await take("trace-step");
      await page.getByRole("button", { name: "Export" }).click();
      await expect(page.getByRole("menu")).toBeVisible();
      await take("trace-export");
      await page.goto(`${url()}/alerts`);
      await page.locator("main a[href^='/alerts/']").first().click();
      await take("alert");
      await page.goto(`${url()}/sql`);
      await page.getByRole("button", { name: /^Run/ }).click();
      await expect(page.getByRole("region", { name: "Result" })).toBeVisible();
      await take("sql-result");
      await page.getByRole("button", { name: "Cost by model and day" }).click();
      await page.getByRole("button", { name: /^Run/ }).click();
      await expect(page.getByRole("cell", { name: "sim-1" })).toBeVisible();
      await page.getByRole("button", { name: "Chart" }).click();
      await expect(page.locator("canvas")).toBeVisible();
      await take("sql-chart");
      await page.goto(url());
      await page.getByRole("button", { name: "Ask Tracy" }).click();
      await expect(page.getByLabel("Question")).toBeVisible();
      await take("tracy");
      await page.getByRole("button", { name: "What did I spend this week, by model?" }).click();
      await expect(page.getByRole("complementary", { name: "Tracy" }).locator("canvas")).toBeVisible();
      await take("tracy-answer");
      await page.keyboard.press("Escape");
      await expect(page.getByLabel("Question")).toHaveCount(0);
      await page.keyboard.press("?");
      await expect(page.getByRole("dialog")).toBeVisible();
      await take("help");
      await page.keyboard.press("Escape");
      await signIn(page, "admin", served().own_keys.admin);
      const run = new SentRun("subagent");
      await run.sendUntil(request, "model_call_started", 2);
      await expect.poll(async () => (await page.request.get(`${url()}/v1/traces/${run.traceId}/skeleton`)).status()).toBe(200);
      await page.goto(`${url()}/traces/${run.traceId}`);
      await expect(page.getByRole("region", { name: "Guard of this run" })).toBeVisible();
      await take("trace-running");
      await run.sendUntil(request);
      await page.goto(`${url()}/alerts?all=1&range=1h`);
      await expect(page.getByText("Nothing needs you.")).toBeVisible();
      await take("alerts-empty");
      await page.goto(`${url()}/traces/nothing`);
      await expect(page.getByRole("alert")).toBeVisible();
      await take("trace-failed");
    });
  });
}
