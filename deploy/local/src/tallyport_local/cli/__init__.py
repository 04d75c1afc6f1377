"""The command ``tallyport``: the stack, and what an operator does with the services."""
