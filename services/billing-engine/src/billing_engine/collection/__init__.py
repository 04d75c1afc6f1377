"""What collectors say of their runs."""
