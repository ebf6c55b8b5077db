/**
 * Budgets in words.
 *
 * Upstream: GET /v1/budgets.
 * Downstream: the budgets page, the overview, the page of an agent.
 * Guarantee: pure; amounts are shown in the budget's own unit.
 */
import type { BudgetItem } from "../api/queries";
import { formatTokens, formatUsd } from "../kit/format";

export const WINDOWS: readonly (readonly [BudgetItem["window"], string])[] = [
  ["1h", "1 hour"],
  ["5h", "5 hours"],
  ["day", "day"],
  ["month", "month"],
];

export function amountOf(budget: Pick<BudgetItem, "unit">, amount: string): string {
  return budget.unit === "usd" ? formatUsd(amount) : `${formatTokens(Number(amount))} tokens`;
}

/** "all agents, per day" */
export function budgetName(budget: BudgetItem): string {
  const inside = budget.openclaw_agent_id === null ? "" : `, its agent ${budget.openclaw_agent_id}`;
  const sessions = budget.session_prefix === null ? "" : `, sessions ${budget.session_prefix}…`;
  const window = WINDOWS.find(([value]) => value === budget.window)?.[1] ?? budget.window;
  return `${budget.agent_id ?? "all agents"}${inside}${sessions}, per ${window}`;
}

/** The budget of all agents that today's spending counts under. */
export function budgetOfToday(budgets: readonly BudgetItem[]): BudgetItem | undefined {
  return budgets.find((budget) => budget.agent_id === null && budget.session_prefix === null && budget.openclaw_agent_id === null && budget.window === "day" && budget.unit === "usd");
}

/** What is spent most of comes first. */
export function byUrgency(budgets: readonly BudgetItem[]): BudgetItem[] {
  return [...budgets].sort((left, right) => Number(right.percent) - Number(left.percent));
}
