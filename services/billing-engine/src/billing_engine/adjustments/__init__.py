"""What an administrator charges or credits by hand."""
