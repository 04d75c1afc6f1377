"""What does not agree between usage, directory and batches."""
