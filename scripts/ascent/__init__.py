"""The library that the workflow's steps call. No module of it knows Snakemake."""

from . import errors as errors  # before all others: it reports a package that is missing
