# In: nothing. Out: where this workflow lies, whatever the run's working folder and the main Snakefile are.
import sys
from os.path import abspath, dirname, exists
from shlex import quote

WORKFLOW = dirname(abspath(workflow.current_basedir.get_path_or_uri(secret_free=True)))
sys.path.insert(0, f"{WORKFLOW}/scripts")

from ascent.errors import AscentError
from ascent.files import read_yaml

# What was read, each file once.
HELD = {}


def call_script(command, before=""):
    """A shell command that calls a script of this workflow. (A name in its braces would be looked up in the main workflow, not in
    a module.)"""
    return f"{before}python {quote(WORKFLOW)}/scripts/{command}"


def found(path):
    """A configuration file of the working folder or, if it is not there, of this workflow."""
    path = path if exists(path) else f"{WORKFLOW}/{path}"
    if workflow.is_main_process:  # a job need not read it again
        held(path)
    return path


def held(path):
    """What a configuration file holds. Refused is what Snakemake would refuse without naming file and line, and what it, which
    reads YAML 1.1, takes for something else than it looks like."""
    if path not in HELD:
        try:
            HELD[path] = read_yaml(path)
        except AscentError as error:
            sys.exit(f"error: {error}")
        if not isinstance(HELD[path], dict):
            sys.exit(f"error: {path}: holds no keys at its top level; write a key such as `recipes: [demo]`.")
    return HELD[path]
