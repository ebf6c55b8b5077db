"""`clawtrace doctor`: facts are gathered, pure checks judge them."""
