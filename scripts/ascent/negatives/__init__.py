"""Embeddings to hard negatives."""
