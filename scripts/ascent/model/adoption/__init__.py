"""A model folder that others made: whole files, weights and tokenizer loaded with nothing missing, and what the folder
says of itself."""
