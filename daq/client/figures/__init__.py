"""Pictures of what is measured: of a run on record, and live ones."""
