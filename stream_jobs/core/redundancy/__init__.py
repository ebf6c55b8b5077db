"""Near-duplicates among the calls of one tool: the same set as comparing every pair, at a fraction of the work."""
