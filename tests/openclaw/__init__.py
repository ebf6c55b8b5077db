"""Real OpenClaw with our plugin, against the real stack and a model provider of our own."""
