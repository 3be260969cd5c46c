"""Which museums a batch has, where their features lie, and how they are gathered."""
