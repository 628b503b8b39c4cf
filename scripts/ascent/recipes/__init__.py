"""Recipes, loaded and checked as a whole, and the settings files of their steps."""
