"""Where the numbers of a frozen line come from."""
