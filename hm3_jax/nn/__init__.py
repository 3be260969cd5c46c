"""Encoders of descriptions and museums, composed from a strategy."""
