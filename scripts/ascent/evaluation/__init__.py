"""Evaluation by mteb: its protocol and metrics, Ascent's models, and tasks of mteb or made of local corpora."""
