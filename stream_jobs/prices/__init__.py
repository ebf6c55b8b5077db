"""The commands about prices: look them up, write them down, price history again."""
