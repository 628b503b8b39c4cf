"""The embedding model and its folder."""
