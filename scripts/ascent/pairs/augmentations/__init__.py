"""The augmentations of a data set: one module per augmentation, each with the function

    alter(parts, settings, random)    return the parts of the altered text

`parts` are those of words.py: gaps and words in turn, a gap first and last. Joined they are the text.
"""
