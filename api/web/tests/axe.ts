/**
 * What axe finds on a page.
 *
 * Upstream: a page that shows what is to be held to its rules.
 * Downstream: the tests.
 * Guarantee: each finding names its rule, its element and why.
 */
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

export async function axeFindings(page: Page, part = "html", rules?: readonly string[]): Promise<string[]> {
  // No page of ours has frames: without looking for some, axe needs no window of its own each time.
  const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ["violations"] }).include(part);
  const { violations } = await (rules === undefined ? axe : axe.withRules([...rules])).analyze();
  return violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} (${node.failureSummary?.slice(0, 200)})`));
}
