"""Confirmations: the question to the customer and the answer."""
