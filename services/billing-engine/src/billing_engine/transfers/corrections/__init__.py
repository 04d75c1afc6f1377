"""What was measured late: the difference it makes, billed with the next batch."""
