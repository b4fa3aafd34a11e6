"""Comparing compiled code with the float model and the integer interpreter."""
