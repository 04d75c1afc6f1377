"""Measured values, taken in exactly once."""
