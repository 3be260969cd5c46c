"""Runs through their epochs: what is compiled, saved, logged and stopped."""
