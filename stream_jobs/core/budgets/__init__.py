"""Budgets: what was spent in their windows, leases handed out, verdicts and alerts; pure."""
