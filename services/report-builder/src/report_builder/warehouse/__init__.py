"""The warehouse: frozen batches, loaded whole, verified, and never changed."""
