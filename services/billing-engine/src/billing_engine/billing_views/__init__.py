"""SQL views that administrators register, whose rows become billing lines."""
