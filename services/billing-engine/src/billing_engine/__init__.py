"""Turns usage and the directory into billing lines and freezes a batch a day."""
