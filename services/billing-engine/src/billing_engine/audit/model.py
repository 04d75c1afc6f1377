"""The entries of the log are those of every service's; the engine signs what it does by itself."""

from __future__ import annotations

from typing import Final

from tallyport.audit import START, Author, Chain, Change, Entry, follow

__all__ = ["ENGINE", "START", "Author", "Chain", "Change", "Entry", "follow"]

ENGINE: Final = Author("billing-engine")
"""What the service does by itself."""
