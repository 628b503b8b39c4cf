"""Texts as tokens in files that training maps."""
