"""What tenants set of alert rules: the store, the door for people, and the reader that follows it."""
