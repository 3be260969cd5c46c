"""Readers of feature files that other projects have published."""
