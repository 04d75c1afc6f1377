"""The run that computes and freezes all lines of one date."""
