"""Reads usage from servers and files, spools it, publishes it."""
