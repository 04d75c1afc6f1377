"""The XML schemas of the reports, shipped with the service."""
