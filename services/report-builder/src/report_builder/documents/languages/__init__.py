"""What sheets say, per language: one file each, the same keys in all."""
