"""Licences: what is counted by a rule or entered by hand, and how the provider bills."""
