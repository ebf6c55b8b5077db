"""CostCraft: patches of a skill, checked against the runs they are said to come from, and the skill made of them."""
