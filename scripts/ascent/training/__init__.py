"""Contrastive training: batches, the gradient at any number of processes, checkpoints, the loop."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed looks for one, and warns
