"""The tour of ``tallyport demo``: real commands on a real stack, with every promise checked."""
