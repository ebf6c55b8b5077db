/** Retention and erasure: what the pages ask and show. The answers are made up here: nothing of the stack is deleted. */
import type { Page } from "@playwright/test";

import { expect, signIn, test, url } from "./signed_in";

const RECEIPT = {
  scope: "trace", id: "abc", tenant_id: "t", reason: "asked for", asked_at: "2026-11-23T05:00:00Z", finished_at: "2026-11-23T05:01:00Z", num_traces: 1,
  tables: [], num_blobs_removed: 2, num_ingest_keys_revoked: 0, num_rows_left: 0, num_files_left: 0, topics: [], elsewhere: [],
}; // prettier-ignore

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** A tenant whose spans stay 90 days, and an erasure that is done when it is asked about again. */
async function answerWith(page: Page): Promise<Asked[]> {
  const asked: Asked[] = [];
  let days = 90;
  let jobs: Record<string, unknown>[] = [];
  const item = () => ({ table: "spans", days, default_days: 90, is_own: days !== 90, num_rows_older: 12_000 });
  const take = (method: string, path: string, body: unknown) => {
    if (method !== "GET") asked.push({ method, path, body });
  };
  await page.route(/\/v1\/retention/, (route) => {
    const request = route.request();
    const body = request.postDataJSON() as { days: number } | null;
    take(request.method(), new URL(request.url()).pathname, body);
    if (request.method() === "PUT") days = body!.days;
    if (request.method() === "DELETE") days = 90;
    return route.fulfill({ json: request.method() === "GET" ? { min_days: 1, max_days: 3_650, tables: [item()] } : item() });
  });
  await page.route(/\/v1\/erasures/, (route) => {
    const request = route.request();
    take(request.method(), new URL(request.url()).pathname, request.postDataJSON());
    const job = {
      erasure_id: "e1", scope: "trace", id: "abc", agent_id: null, reason: "asked for", step: "", asked_by: "key:k1",
      asked_at: "2026-11-23T05:00:00Z", updated_at: "2026-11-23T05:01:00Z", error: "",
    }; // prettier-ignore
    if (request.method() === "POST") {
      jobs = [{ ...job, state: "running", receipt: null }];
      return route.fulfill({ status: 202, json: jobs[0] });
    }
    const told = jobs;
    jobs = jobs.map((one) => ({ ...one, state: "done", receipt: RECEIPT }));
    return route.fulfill({ json: { items: told } });
  });
  return asked;
}

test("fewer days are asked for first, more are not, and the default comes back", async ({ page }) => {
  await signIn(page);
  const asked = await answerWith(page);
  await page.goto(`${url()}/settings?tab=retention`);
  const row = page.getByRole("row").filter({ hasText: "spans" });
  await expect(row).toContainText("12k");
  await row.getByLabel("Days of spans").fill("30");
  await row.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog", { name: "Keep spans for 30 days?" }).getByRole("button", { name: "Keep it" }).click();
  expect(asked).toEqual([]);
  await row.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete what is older" }).click();
  await expect(row.getByLabel("Days of spans")).toHaveValue("30");
  await row.getByRole("button", { name: "Take back what is set for spans" }).click();
  await expect(row.getByRole("button", { name: /Take back/ })).toHaveCount(0);
  await expect(row.getByLabel("Days of spans")).toHaveValue("90");
  await row.getByLabel("Days of spans").fill("365");
  await row.getByRole("button", { name: "Save" }).click();
  await expect(row.getByRole("button", { name: /Take back/ })).toBeVisible();
  expect(asked).toEqual([
    { method: "PUT", path: "/v1/retention/spans", body: { days: 30 } },
    { method: "DELETE", path: "/v1/retention/spans", body: null },
    { method: "PUT", path: "/v1/retention/spans", body: { days: 365 } },
  ]);
});

test("a trace is erased after a question, and its receipt is shown", async ({ page }) => {
  await signIn(page);
  const asked = await answerWith(page);
  await page.goto(`${url()}/settings?tab=retention&trace=abc`);
  await expect(page.getByLabel("Trace id")).toHaveValue("abc");
  await page.getByLabel("Why").fill("asked for");
  await page.getByRole("button", { name: "Erase …" }).click();
  const dialog = page.getByRole("dialog", { name: "Erase this trace?" });
  await dialog.getByRole("button", { name: "Keep it" }).click();
  expect(asked).toEqual([]);
  await page.getByRole("button", { name: "Erase …" }).click();
  await dialog.getByRole("button", { name: "Erase it for good" }).click();
  const erasure = page.getByRole("list", { name: "Erasures" }).getByRole("listitem");
  await expect(erasure.getByRole("status")).toHaveText("running");
  await expect(erasure.getByRole("status")).toHaveText("done");
  await expect(erasure).toContainText("1 trace, 0 rows left");
  await expect(erasure).toContainText("by key:k1");
  expect(asked).toEqual([{ method: "POST", path: "/v1/erasures", body: { scope: "trace", id: "abc", reason: "asked for" } }]);
});
