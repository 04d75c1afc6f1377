"""The embedded PostgreSQL: where a cluster may live, how it is made and run, and who may do what in it."""
