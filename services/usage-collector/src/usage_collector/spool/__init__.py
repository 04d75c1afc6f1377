"""What was read and is not yet acknowledged by the broker."""
