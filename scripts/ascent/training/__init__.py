"""Training: batches, the gradient at any number of processes, the loop."""
