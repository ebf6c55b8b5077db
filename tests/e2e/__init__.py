"""The web UI in a browser: the API of this checkout over a running stack, for Playwright."""
