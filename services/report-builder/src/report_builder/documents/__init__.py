"""The customer detail as .csv, .xml, .xlsx and .xls: from rows to bytes, without a database or a network."""
