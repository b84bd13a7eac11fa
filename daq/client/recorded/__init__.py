"""What was recorded: runs, their tables, documents and exports."""
