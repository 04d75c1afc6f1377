"""The notifier's picture of organisations, plans and prices, projected from the other services' topics."""
