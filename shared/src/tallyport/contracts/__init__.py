"""What travels between the services: one module per topic family, one pydantic model per event type and version."""
