"""What people see of values, runs and executions: text, HTML, pictures."""
