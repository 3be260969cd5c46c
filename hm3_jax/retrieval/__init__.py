"""An index of embedded museums, and searching it."""
