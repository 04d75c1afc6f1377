"""Who may call what: deny by default."""
