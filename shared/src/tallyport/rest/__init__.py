"""What the services' HTTP interfaces have in common: entity tags, pages, reasons, limits, their description."""
