"""Stops a billable action until the customer has confirmed it."""
