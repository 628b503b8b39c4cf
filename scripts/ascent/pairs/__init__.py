"""Pairs to training pairs."""
