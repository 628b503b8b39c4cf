"""The kinds of stage, one module each, named as recipes name them.

A kind that trains is a class of its settings' name, a Method of training/loop.py; any other is a function of its name,

    <name>(settings, parents, folder)    make the stage's model folder from its parents'
"""
