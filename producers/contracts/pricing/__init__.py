"""What tokens cost: lists of prices, the names they go by, and the one that holds at an instant."""
