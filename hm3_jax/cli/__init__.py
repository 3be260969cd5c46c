"""Flags, help pages and what a command prints: between entries and what they call."""
