"""Keeps the warehouse of frozen batches and writes reports."""
