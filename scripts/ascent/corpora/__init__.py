"""Raw files to pairs and documents."""
