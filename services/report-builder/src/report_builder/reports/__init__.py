"""Reports: what was asked for, how far it is, and the documents themselves."""
