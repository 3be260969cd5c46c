"""Readers of raw data sets: pictures, videos and texts -> a museum list."""
