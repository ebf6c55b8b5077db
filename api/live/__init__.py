"""What happens now: the newest minutes of the topics, in memory, for streams and for traces that still run."""
