"""Messages in and out of a service, exactly once as billed."""
