"""Inventory runs, as the collectors tell of them."""
