"""The rules by which a service appears in billing: drafts and published versions."""
