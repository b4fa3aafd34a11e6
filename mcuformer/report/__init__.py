"""report.json and what is made of it."""
