"""Runs of the whole Snakefile in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from ascent.files import read_yaml
from ascent.layout import FILTERED, parts_of
from ascent.recipes.loading import load_recipes

ROOT = Path(__file__).parents[2]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


class Copy:
    """A copy of the repository, so that a run's files are its own; all copies build one recipe of one material.

    python: the Python that runs Snakemake and its jobs; a warm one spares each of them its imports.
    """

    def __init__(self, folder: Path, config: Path, python: str = sys.executable):
        self.folder, self.config, self.python = folder, config, python
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("Snakefile", "pyproject.toml", "rules", "scripts", "config", "profiles", "envs", "docs"):
            source = ROOT / name
            copy = shutil.copyfile if source.is_file() else lambda a, b: shutil.copytree(a, b, ignore=ignore)
            folder.mkdir(parents=True, exist_ok=True)
            copy(source, folder / name)

    @property
    def path(self) -> str:
        """A PATH without the environment's programs: rules find its `python` in an environment that is not
        activated."""
        places = os.environ["PATH"].split(os.pathsep)
        return os.pathsep.join(
            place for place in places if Path(place).resolve() != Path(sys.executable).parent.resolve()
        )

    def snakemake(self, *arguments: str, launcher=(), **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*(launcher or (self.python, "-m")), "snakemake", "--cores", str(CORES), *arguments],
            cwd=self.folder,
            env=os.environ | {"PATH": self.path, "HF_HUB_OFFLINE": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return self.snakemake(*arguments, "--configfile", str(self.config), **environment)

    def jobs(self, *targets: str) -> set[str]:
        """The jobs that a dry run names: rule and wildcards without digests, such as `train_finetune small
        finetune`."""
        done = self.build("--dry-run", *targets)
        assert done.returncode == 0, done.stdout
        found = {
            re.sub(r"-[0-9a-f]{8}\b", "", job) for job in re.findall(r"^would run (.*?):", done.stdout, re.MULTILINE)
        }
        assert bool(found) != ("Nothing to be done" in done.stdout), done.stdout
        return found

    def data(self, folder: str, name: str = "questions") -> Path:
        """What the last pass of a folder, prepared or pairs, made of a data set of the recipe, which has one part."""
        return self / data_path(folder, self.config, name)

    def __truediv__(self, path: str) -> Path:
        return self.folder / path


def data_path(folder: str, config: Path, name: str = "questions") -> str:
    """Return the path of what the last pass of a folder, prepared or pairs, makes of a data set, which has one part, of
    the one recipe that a configuration builds."""
    recipes = load_recipes(read_yaml(config))
    passes = recipes.steps(recipes.config.recipes[0], name).passes
    (*_, key) = (step.key for step in passes if step.folder == folder)
    return parts_of(FILTERED, 1, folder=folder, key=key)[0]


@contextmanager
def edited(path: Path, change):
    """A file whose text is changed; afterwards it is as it was, its time too."""
    text, times = path.read_text(), path.stat()
    after = change(text)
    assert after != text
    path.write_text(after)
    try:
        yield
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def recipe_of(copy: Copy) -> Path:
    return copy.config.with_name("small.yaml")
