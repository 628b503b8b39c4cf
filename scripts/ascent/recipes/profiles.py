"""The words of a Snakemake profile: those that YAML or Snakemake would take for something else are refused.

Snakemake evaluates a resource as a Python expression, and keeps it as it is only where that fails: a partition `all`
becomes Python's function. YAML 1.1 reads 24:00:00 as 86400 and 012345 as 5349."""

import argparse
import builtins
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from ..errors import AscentError
from ..files import read_yaml

FILES = ("profile.yaml", "config.yaml")
RESOURCES = ("default-resources", "set-resources")
# Resources that are words, and not numbers or expressions.
WORDS = (
    "slurm_partition",
    "slurm_account",
    "gpu_model",
    "constraint",
    "qos",
    "reservation",
    "gres",
    "mpi",
    "cluster",
    "clusters",
)
# Besides Python's own, names that Snakemake (9.27) defines where it evaluates a resource.
NAMES = {*dir(builtins), "wildcards", "input", "attempt", "system_tmpdir", "shutil", "async_run", "threads"} | {
    *("lookup", "evaluate", "branch", "collect", "exists", "output", "params", "prepend_param", "resources", "subpath"),
    *("parse_input", "extract_checksum", "flatten", "choose_file", "choose_folder", "choose_tmp", "as_py_module"),
}
# What the SLURM executor (2.8) takes.
MODEL = re.compile(r"[A-Za-z0-9_.]+")


def check_profiles(command: Sequence[str]) -> None:
    """Raise AscentError, with file and line, if a profile that this command line of Snakemake (or SNAKEMAKE_PROFILE)
    names has a word in it that would be misread."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--profile", "--workflow-profile"):
        parser.add_argument(option, action="append", default=[])
    options, _ = parser.parse_known_args(list(command[1:]))
    named = options.profile or [os.environ.get("SNAKEMAKE_PROFILE", "")]
    for name in filter(None, (*named, *options.workflow_profile)):
        for path in (Path(name), *(Path(name) / file for file in FILES)):
            if path.is_file():
                _check(path)


def _check(path: Path) -> None:
    document = yaml.compose(path.read_text(), yaml.SafeLoader)
    for key, part in document.value if isinstance(document, yaml.MappingNode) else ():
        if key.value in RESOURCES:
            for name, value in _scalars(part):
                if wrong := _misread(name, value):
                    raise AscentError(f"{path}, line {value.start_mark.line + 1}: {name}: {value.value} {wrong}.")
    read_yaml(path)  # raises for what YAML itself misreads


def _scalars(node: yaml.Node) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Yield each value with its key. A node with an anchor stands in several places."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode):
                yield key.value, value
            else:
                yield from _scalars(value)


def _misread(name: str, node: yaml.ScalarNode) -> str | None:
    """Return what is wrong with a resource's value, and how it is written; None if nothing is."""
    text = node.value
    if name == "runtime" and node.style is None and ":" in text:
        return "is a number for YAML, and would be minutes; write hours as 24h, days as 2d, or a number of minutes"
    if name in WORDS and text in NAMES:
        return f"would be Python's or Snakemake's own {text}; write it in two kinds of quotes: \"'{text}'\""
    if name == "gpu_model" and not MODEL.fullmatch(text.strip("'\"")):
        return (
            "is refused by Snakemake's SLURM executor, which takes letters, digits, _ and . only; remove the line, and"
            ' choose the nodes by a feature of theirs (`sinfo -o "%P %f"`): `constraint: <feature>`'
        )
    return None
