"""Lines, as a transfer or a preview computes them from one snapshot."""
