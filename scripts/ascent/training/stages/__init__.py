"""The kinds of stage, one module each, named as recipes name them.

A kind that trains is a class of its settings' name, a Method of training/loop.py. Any other merges its parents, and is
a function of its name,

    <name>(tensors, weights, stage)    return a tensor of the model, made from that of each parent (training/merging.py)
"""
