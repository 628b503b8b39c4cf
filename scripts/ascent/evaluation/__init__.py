"""Evaluation by mteb: its protocol and metrics, our models and, beside its own tasks, tasks made of local corpora."""
