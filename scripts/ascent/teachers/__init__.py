"""A larger model's scores and embeddings, for a stage to learn from."""
