"""The keeper of budgets: spends in, counters in Postgres, allowances, verdicts and alerts out."""
