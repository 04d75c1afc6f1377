"""Readings of sources: when they happen, what they did, what came of them."""
