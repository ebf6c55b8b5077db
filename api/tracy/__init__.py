"""Tracy, the analyst: answers questions over a tenant's runs, and shows where each number comes from."""
