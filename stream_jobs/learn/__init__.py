"""The learner: cards in, what runs of a task usually cost in Postgres, scores and alerts out."""
