"""The derived tables made again from what was captured."""
