"""PostgreSQL the way every service uses it: one pool, forward-only migrations, SQL in named statements."""
