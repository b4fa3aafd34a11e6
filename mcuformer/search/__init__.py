"""Finds a network within the chip's limits: space, supernet, training, search by the real plan.

Modules that need torch or optuna import them at the top and are imported lazily by the commands.
"""
