"""The kinds of report: one module each says what its tables are and where their rows come from."""
