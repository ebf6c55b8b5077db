/** What decides about agents: rules, budgets, channels, prices, and a person's own word to halt and go on. */
import { SentRun } from "./sending";
import { expect, served, signIn, test, url } from "./signed_in";

const OWN_AGENT = "watched-mac";

test("a rule is set for one agent and taken back, by keys", async ({ page, request }) => {
  const run = new SentRun("subagent");
  await run.sendUntil(request, "model_call_started");
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(`${url()}/alerts?tab=rules&agent=${OWN_AGENT}`);
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "session cost", exact: true }) });
  await expect(row).toContainText("as built in");
  await page.getByRole("button", { name: "session cost", exact: true }).press("Enter");
  const dialog = page.getByRole("dialog", { name: "session cost" });
  await dialog.getByLabel("limit (USD)").fill("a lot");
  await dialog.getByRole("button", { name: `Save for ${OWN_AGENT}` }).click();
  await expect(dialog.getByLabel("limit (USD)")).toHaveAttribute("aria-invalid", "true");
  await dialog.getByLabel("limit (USD)").fill("2.50");
  await page.keyboard.press("Enter");
  await expect(row).toContainText("limit (USD)");
  await page.reload();
  await page.getByRole("button", { name: "session cost", exact: true }).press("Enter");
  await expect(dialog.getByLabel("limit (USD)")).toHaveValue("2.50");
  await expect(dialog).toContainText(`Set for ${OWN_AGENT} by`);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "session cost", exact: true })).toBeFocused();
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: /Take back/ }).click();
  await expect(row).toContainText("as built in");
});

test("a budget is made, changed and removed", async ({ page }) => {
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(`${url()}/alerts?tab=budgets`);
  await page.getByRole("button", { name: "Make a budget" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Limit", { exact: true }).fill("-1");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog.getByLabel("Limit", { exact: true })).toHaveAttribute("aria-invalid", "true");
  await dialog.getByLabel("Limit", { exact: true }).fill("1000");
  await dialog.getByLabel("Counted in").selectOption("tokens");
  await dialog.getByLabel("At the limit").selectOption("note");
  await dialog.getByRole("button", { name: "Save" }).click();
  const budget = page.getByRole("list", { name: "Budgets" }).getByRole("listitem").filter({ hasText: "all agents, per day" });
  await expect(budget).toContainText("1,000 tokens");
  await budget.getByRole("button", { name: /Change/ }).click();
  await dialog.getByLabel("Limit", { exact: true }).fill("5000");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(budget).toContainText("5,000 tokens");
  await page.goto(url());
  await expect(page.getByRole("region", { name: "Spent against budgets" })).toContainText("5,000 tokens");
  await page.goto(`${url()}/alerts?tab=budgets`);
  await budget.getByRole("button", { name: /Remove/ }).click();
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(page.getByText("There are no budgets.")).toBeVisible();
});

test("a channel says of its test what came of it, and shows no secret again", async ({ page }) => {
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(`${url()}/alerts?tab=channels`);
  await page.getByRole("button", { name: "Add a channel" }).click();
  const dialog = page.getByRole("dialog", { name: "Add a channel" });
  await dialog.getByLabel("Name").fill("team");
  await dialog.getByLabel("Kind").selectOption("webhook");
  await expect(dialog.getByLabel("Key of the signature")).toHaveValue(/^whsec_/);
  await dialog.getByLabel("Address").fill("nowhere");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog.getByLabel("Address")).toHaveAttribute("aria-invalid", "true");
  await dialog.getByLabel("Address").fill(`${served().receiver_url}/a-token`);
  await dialog.getByRole("button", { name: "Save" }).click();
  const row = page.getByRole("row").filter({ hasText: "team" });
  await expect(row).toContainText(`${served().receiver_url}/…`);
  await expect(page.getByText("a-token")).toHaveCount(0);
  await row.getByRole("button", { name: "Test team" }).click();
  await expect(row.getByText("✓ taken")).toBeVisible();
  await row.getByRole("button", { name: "Change team" }).click();
  const change = page.getByRole("dialog", { name: "Change the channel" });
  await expect(change.getByLabel("Address")).toHaveValue("");
  await change.getByLabel("Tells of").selectOption("critical");
  await change.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("critical only");
  await row.getByRole("button", { name: "Remove team" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await expect(page.getByText("Nobody is told yet.")).toBeVisible();
});

test("a price is written down, holds, and is taken back", async ({ page }) => {
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(`${url()}/settings?tab=prices`);
  const own = page.getByRole("region", { name: "Your own prices" });
  await own.getByLabel("Provider").fill("acme");
  await own.getByLabel("Model").fill("house-1");
  await own.getByLabel("Fresh input").fill("much");
  await own.getByLabel("Output").fill("2");
  await own.getByRole("button", { name: "Write the price down" }).click();
  await expect(own.getByLabel("Fresh input")).toHaveAttribute("aria-invalid", "true");
  await own.getByLabel("Fresh input").fill("0.5");
  await own.getByRole("button", { name: "Add a price of longer prompts" }).click();
  const longer = own.getByRole("group", { name: "Longer prompts" });
  await longer.getByLabel("Above tokens").fill("200000");
  await longer.getByLabel("Fresh input").fill("a lot");
  await longer.getByLabel("Output").fill("4");
  await own.getByRole("button", { name: "Write the price down" }).click();
  await expect(longer.getByLabel("Fresh input")).toHaveAttribute("aria-invalid", "true");
  await longer.getByLabel("Fresh input").fill("1");
  await own.getByRole("button", { name: "Write the price down" }).click();
  const row = own.getByRole("row").filter({ hasText: "acme/house-1" });
  await expect(row).toContainText("$0.50");
  await expect(row).toContainText("prompts above 200k tokens");
  await page.getByRole("search", { name: "Prices" }).getByLabel("Model").fill("house-1");
  await expect(page.getByRole("region", { name: "Prices", exact: true })).toContainText("written down");
  await row.getByRole("button", { name: "Take back acme/house-1" }).click();
  await expect(row).toHaveCount(0);
});

test("the past is priced again after it was looked at", async ({ page, request }) => {
  const { own_keys } = served();
  const run = new SentRun("tool-error");
  await run.sendUntil(request);
  await signIn(page, "admin", own_keys.admin);
  const stored = async () => {
    const answer = await request.get(`${url()}/v1/traces/${run.traceId}`, { headers: { authorization: `Bearer ${own_keys.read}` } });
    const { trace } = (await answer.json()) as { trace?: { is_open: boolean; cost_usd: string } };
    return trace === undefined || trace.is_open ? undefined : Number(trace.cost_usd);
  };
  await expect.poll(stored).toBeGreaterThan(0);
  const wasUsd = (await stored())!;

  await page.goto(`${url()}/settings?tab=prices`);
  const own = page.getByRole("region", { name: "Your own prices" });
  for (const [label, text] of [["Provider", "fake"], ["Model", "sim-1"], ["Fresh input", "300"], ["Output", "1500"], ["Cache read", "30"], ["Cache write", "375"]] as const) {
    await own.getByLabel(label).fill(text);
  }
  await own.getByRole("button", { name: "Write the price down" }).click();
  await expect(own.getByRole("row").filter({ hasText: "$300.00" })).toContainText("fake/sim-1");

  const past = page.getByRole("region", { name: "Price the past again" });
  await past.getByRole("button", { name: "See what would change" }).click();
  await expect(past.getByRole("status")).toContainText("What would change");
  const apply = past.getByRole("button", { name: "Price them again" });
  await expect(apply).toBeVisible();
  await expect(past.getByRole("listitem").filter({ hasText: "fake/sim-1" })).toContainText("→");
  // To look changes nothing.
  expect(await stored()).toBe(wasUsd);
  await apply.click();
  await expect(past.getByRole("status")).toContainText(/done Priced again/);
  // A hundred times the price; what is stored is read again as it is written.
  await expect.poll(async () => ((await stored()) ?? 0) / wasUsd).toBeGreaterThan(50);
  await own.getByRole("button", { name: "Take back fake/sim-1" }).click();
  await expect(own.getByRole("button", { name: "Take back fake/sim-1" })).toHaveCount(0);
});

test("an agent is halted with a reason, seen so everywhere, and let go on", async ({ page, request }) => {
  const run = new SentRun("subagent");
  await run.sendUntil(request, "model_call_started", 2);
  const { own_keys } = served();
  await signIn(page, "admin", own_keys.admin);
  const states = async () => {
    const answer = await request.get(`${url()}/v1/agents/${OWN_AGENT}/guard`, { headers: { authorization: `Bearer ${own_keys.read}` } });
    return ((await answer.json()) as { state: string }).state;
  };
  const overview = await page.context().newPage();
  await overview.goto(url());
  const listed = overview.getByRole("region", { name: "Agents" }).getByRole("listitem").filter({ hasText: OWN_AGENT });
  await expect(listed).toContainText("running");
  await page.goto(`${url()}/agents/${OWN_AGENT}`);
  const guard = page.getByRole("region", { name: "Guard" });
  await expect(guard).toContainText("may run");
  const dialog = page.getByRole("dialog");
  await guard.getByRole("button", { name: "Set limits" }).click();
  await dialog.getByLabel("A run, in $").fill("none");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog.getByLabel("A run, in $")).toHaveAttribute("aria-invalid", "true");
  await dialog.getByLabel("A run, in $").fill("2.5");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(guard).toContainText("May spend $2.50 a run; then: stop the run.");
  await guard.getByRole("button", { name: "Halt" }).click();
  await dialog.getByLabel("Why").fill("I want to look at it.");
  await page.keyboard.press("Enter");
  await expect(guard.getByRole("status")).toContainText("halted");
  const word = guard.getByRole("listitem").filter({ hasText: "I want to look at it." });
  await expect(word).toContainText(/abort.*by .*until/s);
  await expect.poll(states).toBe("abort");
  await expect(listed).toContainText("halted");
  // What the plugin asks: the word has reached the gateway.
  const told = async () => {
    const asked = await request.get(`${served().gateway_url}/v1/guard`, { headers: { authorization: `Bearer ${own_keys.ingest}` } });
    return asked.text();
  };
  await expect.poll(told).toContain("I want to look at it.");
  await guard.getByRole("button", { name: "Let it go on" }).click();
  await dialog.getByRole("button", { name: "Let it go on" }).click();
  await expect(guard.getByRole("status")).toContainText("may run");
  await expect.poll(states).toBe("free");
  await expect(listed).toContainText("running");
});

test("a run is halted from its trace while it goes on, and let go on, by name", async ({ page, request }) => {
  const { own_keys } = served();
  const run = new SentRun("subagent");
  await run.sendUntil(request, "model_call_started", 2);
  await signIn(page, "admin", own_keys.admin);
  await expect.poll(async () => (await page.request.get(`${url()}/v1/traces/${run.traceId}/skeleton`)).status()).toBe(200);
  await page.goto(`${url()}/traces/${run.traceId}`);
  const guard = page.getByRole("region", { name: "Guard of this run" });
  await expect(guard.getByRole("status")).toContainText("may run");
  await guard.getByRole("button", { name: "Halt this run" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("the agent's other runs go on");
  await dialog.getByLabel("Why").fill("It goes in circles.");
  await page.keyboard.press("Enter");
  await expect(guard.getByRole("status")).toContainText("run halted");
  await expect(guard.getByRole("listitem").filter({ hasText: "It goes in circles." })).toContainText(/abort.*by key:.*until/s);
  // What the plugin asks: the word is about the run alone.
  const words = async () => (await (await request.get(`${served().gateway_url}/v1/guard`, { headers: { authorization: `Bearer ${own_keys.ingest}` } })).json()) as unknown;
  await expect.poll(async () => JSON.stringify(await words())).toContain("It goes in circles.");
  await guard.getByRole("button", { name: "Let it go on" }).click();
  await dialog.getByRole("button", { name: "Let it go on" }).click();
  await expect(guard.getByRole("status")).toContainText("may run");
  // A run that is over has nothing to halt.
  await run.sendUntil(request);
  await expect(guard).toHaveCount(0);
});

test("who may only read is offered nothing of this", async ({ page }) => {
  await signIn(page, "read", served().own_keys.read);
  for (const [address, told] of [
    [`/agents/${OWN_AGENT}`, "you need the role operator"],
    ["/alerts?tab=rules", "What it looks for"],
    ["/alerts?tab=budgets", "you need the role admin"],
    ["/alerts?tab=channels", "you need the role admin"],
  ] as const) {
    await page.goto(url() + address);
    await expect(page.getByRole("main")).toContainText(told);
    await expect(page.getByRole("button", { name: /^(Halt|Make a budget|Add a channel)/ })).toHaveCount(0);
  }
  await page.goto(`${url()}/alerts?tab=rules`);
  await page.getByRole("button", { name: "session cost", exact: true }).click();
  await expect(page.getByRole("dialog").getByLabel("limit (USD)")).toBeDisabled();
});
