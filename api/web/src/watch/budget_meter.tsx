/**
 * A budget as a bar with its numbers.
 *
 * Upstream: a budget as it stands.
 * Downstream: the budgets page, the overview, the page of an agent.
 * Guarantee: state and numbers are told in words; the bar ends at the limit.
 */
import type { BudgetItem } from "../api/queries";
import { formatMinute } from "../kit/format";
import { microsOf } from "../kit/tokens";
import { amountOf, budgetName } from "./budget_text";

const STATES = { ok: "", warn: "warns", alert: "used up" } as const;

export function BudgetMeter({ budget }: { readonly budget: BudgetItem }) {
  const percent = Math.min(100, Number(budget.percent));
  return (
    <div className="budget">
      <div className="budget-line">
        <strong>{budgetName(budget)}</strong>
        {budget.state !== "ok" && <span className={`badge badge-${budget.state}`}>{STATES[budget.state]}</span>}
        {budget.stopped.length > 0 && <span className="badge badge-alert">stops {budget.stopped.join(", ")}</span>}
      </div>
      <div
        className="meter"
        data-state={budget.state}
        role="meter"
        aria-label={`Budget of ${budgetName(budget)}`}
        aria-valuenow={percent}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuetext={`${amountOf(budget, budget.spent)} of ${amountOf(budget, budget.limit)}`}
      >
        <svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
          <rect width={percent} height={1} />
        </svg>
      </div>
      <div className="soft">
        {amountOf(budget, budget.spent)} of {amountOf(budget, budget.limit)} · {budget.percent} % · {amountOf(budget, budget.left)} left until{" "}
        {formatMinute(microsOf(budget.window_end))}
      </div>
    </div>
  );
}
