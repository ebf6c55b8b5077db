"""The notifier: alerts in, messages kept in Postgres, told to people until they have them."""
