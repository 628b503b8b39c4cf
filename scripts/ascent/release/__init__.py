"""The released folder: model, card, results."""
