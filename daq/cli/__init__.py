"""The command line: commands, and how they show what they find."""
