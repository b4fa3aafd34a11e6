"""Graphs drawn from the operator rows, followed through the whole chain (`make fuzz`)."""
