"""Live detection: what a batch told, looked at by every rule, as alerts and verdicts."""
