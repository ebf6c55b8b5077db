/** Tracy with a local server in place of a model: stream, chart, citation to its SQL, stop. */
import { axeFindings } from "./axe";
import { expect, served, signIn, test, url } from "./signed_in";

test("an answer streams, cites, draws, and its source opens", async ({ page }) => {
  await signIn(page);
  await page.goto(url());
  await page.getByRole("heading", { name: "Overview" }).click();
  await page.keyboard.press("t");
  const tracy = page.getByRole("complementary", { name: "Tracy" });
  await tracy.getByRole("button", { name: "What did I spend this week, by model?" }).click();
  await expect(tracy.getByText("dearest last")).toBeVisible();
  await expect(tracy.locator("canvas")).toBeVisible();
  await expect(tracy.locator("img:not([src='/icon.svg'])")).toHaveCount(0);
  await expect(tracy.locator("a[href^='http']")).toHaveCount(0);
  expect(await axeFindings(page)).toEqual([]);
  await tracy.getByRole("button", { name: "$0.15" }).click();
  await expect(tracy.getByRole("region", { name: "Where the figure comes from" })).toContainText("Column cost_usd, row 1");
  await tracy.getByRole("link", { name: "Open in SQL" }).click();
  await expect(page.getByRole("textbox", { name: "SQL" })).toContainText("SUM(cost_usd)");
});

test("a long answer can be stopped", async ({ page }) => {
  await signIn(page);
  await page.goto(url());
  await page.getByRole("button", { name: "Ask Tracy" }).click();
  const tracy = page.getByRole("complementary", { name: "Tracy" });
  await tracy.getByLabel("Question").fill("look slowly");
  await page.keyboard.press("Enter");
  await expect(tracy.getByText("One more look.").first()).toBeVisible();
  await tracy.getByRole("button", { name: "Stop" }).click();
  await expect(tracy.getByText("Stopped.")).toBeVisible();
  await expect(tracy.getByRole("button", { name: "Ask", exact: true })).toBeVisible();
});

test("a conversation of before is read again, gone on with, and deleted", async ({ page }) => {
  await signIn(page, "admin", served().own_keys.admin);
  await page.goto(url());
  const tracy = page.getByRole("complementary", { name: "Tracy" });
  await page.getByRole("button", { name: "Ask Tracy" }).click();
  await tracy.getByLabel("Question").fill("What did yesterday cost?");
  await page.keyboard.press("Enter");
  await expect(tracy.getByText("dearest last")).toBeVisible();
  await expect(tracy.getByRole("button", { name: "Ask", exact: true })).toBeVisible();
  await page.reload();
  await page.getByRole("button", { name: "Ask Tracy" }).click();
  await tracy.getByRole("button", { name: "Past" }).click();
  await tracy.getByRole("button", { name: "What did yesterday cost?", exact: true }).click();
  await expect(tracy.getByText("dearest last")).toBeVisible();
  expect(await axeFindings(page)).toEqual([]);
  await tracy.getByLabel("Question").fill("And today?");
  await page.keyboard.press("Enter");
  await expect(tracy.getByText("dearest last")).toHaveCount(2);
  await tracy.getByRole("button", { name: "Past" }).click();
  await tracy.getByRole("button", { name: "Delete What did yesterday cost?" }).click();
  await expect(tracy.getByText("There is none yet.")).toBeVisible();
});
