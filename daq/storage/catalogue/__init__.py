"""The catalogue: one SQLite file of runs, scripts and executions."""
