"""What a recipe may say, one file a station. Imported while the Snakefile is parsed: pydantic and yaml only."""
