"""TraceCards: what a finished trace cost and why, small enough for a prompt."""
