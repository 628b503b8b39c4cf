"""Contrastive training: batches, the gradient at any number of processes, checkpoints, the loop."""
