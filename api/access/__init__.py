"""Who asks, and what he, she or it may do: keys, sessions, login through a provider, roles."""
