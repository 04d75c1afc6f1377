"""Downloads: artifacts on their way out, each noted; links that work for a while without a token."""
