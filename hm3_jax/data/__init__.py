"""Museum records, the feature store, and what fills it."""
