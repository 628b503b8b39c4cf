"""What a larger model says of texts, for another to learn."""
