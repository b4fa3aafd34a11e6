"""The ways to run a region."""
