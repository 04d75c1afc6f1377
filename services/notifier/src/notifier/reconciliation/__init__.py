"""Who went around the gate, and what was allowed and never came."""
