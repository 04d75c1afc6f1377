"""Billable actions: what is asked, what it would cost, what was decided."""
