"""The library that the workflow's steps call. No module of it knows Snakemake."""
