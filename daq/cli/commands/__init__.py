"""The commands that need no running daemon."""
