"""The journal: what was acknowledged, in the order in which it came."""
