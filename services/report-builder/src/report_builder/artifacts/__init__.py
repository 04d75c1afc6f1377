"""Artifacts: files in object storage, each written once under a key that never changes."""
