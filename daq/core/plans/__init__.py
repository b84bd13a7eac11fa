"""Plans as values: what each takes, a call that is checked, the grid that it leaves."""
