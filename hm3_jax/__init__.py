"""HM3 in JAX: text-to-museum retrieval with hierarchical two-tower models."""

__version__ = "0.1.0"
