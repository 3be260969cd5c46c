"""Embedding and scoring splits, with models in training or saved ones."""
