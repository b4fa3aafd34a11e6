"""Fake peripherals around Unicorn: strict where a real chip would hang, fault or run wrongly."""
