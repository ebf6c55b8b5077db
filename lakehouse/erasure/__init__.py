"""What was asked to be erased, taken out of the tables for good, with a receipt."""
