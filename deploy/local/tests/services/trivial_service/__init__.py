"""A service that does nothing but live: what the supervisor needs of one, and the ways to die."""
