"""Rules tried on stored events, for people."""
