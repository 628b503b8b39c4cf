"""What answers: one module per generator, see the package's docstring."""
