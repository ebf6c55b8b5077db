"""History priced again, as a job that tells how far it is."""
