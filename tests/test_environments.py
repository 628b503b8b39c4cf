"""Locks, environment files and the running environment agree, and hold what the code imports."""

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from generate_environments import environment_text
from support.small_recipe import ROOT

ENVS = ROOT / "envs"
SOURCES = {"ascent": ("ascent.in", "torch.txt"), "dev": ("dev.in",), "gpu": ("gpu.in", "ascent.in")}
LOCKS = {"ascent": ("ascent.txt", "torch.txt"), "dev": ("dev.txt",), "gpu": ("gpu.txt",)}
# Why the GPU environment has another version than the default one, or not the package at all.
OTHER_ON_GPU = {
    "torch": "2.10 is the last with CUDA 12, which faiss-gpu wants",
    "faiss-cpu": "faiss-gpu takes its place",
}
# The machine that the GPU lock is for.
CLUSTER = {
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "python_full_version": "3.12.0",
    "python_version": "3.12",
}
# What the code imports although the default environment does not have it.
OPTIONAL = {
    "tensorboard": "a tracker: tests have it from dev.in, users install it if they name it",
    "wandb": "a tracker, likewise",
    "bitsandbytes": "weights in 4 bits on a GPU; the GPU environment has it",
    "torchao": "FP8, which a GPU has; the GPU environment has it",
    "FlagEmbedding": "a trainer that the benchmark measures where it is installed",
}


def requirements(name: str) -> dict[str, Requirement]:
    """The requirements of one file of envs/, by name."""
    lines = re.findall(r"^([A-Za-z0-9][^\\#\n]*)", (ENVS / name).read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    by_name = {canonicalize_name(requirement.name): requirement for requirement in found}
    assert len(by_name) == len(found) > 0, f"envs/{name} names a package twice, or none"
    return by_name


def pins(environment: str) -> dict[str, Version]:
    """The exact versions of an environment."""
    found = {}
    for lock in LOCKS[environment]:
        for name, requirement in requirements(lock).items():
            (pin,) = requirement.specifier
            assert pin.operator == "==" and "*" not in pin.version, f"envs/{lock} does not pin {name}"
            found[name] = Version(pin.version)
    return found


def differing(one: dict[str, Version], other: dict[str, Version]) -> set[str]:
    """The packages that both have, in different versions."""
    return {name for name in one.keys() & other.keys() if one[name] != other[name]}


def applies(requirement: Requirement, machine: dict[str, str] | None = None) -> bool:
    """Whether a requirement is one of this machine, or of another that is described."""
    return requirement.marker is None or requirement.marker.evaluate(machine)


def imported(folder: str) -> dict[str, str]:
    """The modules that a folder's files import and that are neither Python's nor ours, each with one of the files."""
    files = {path: ast.parse(path.read_text()) for path in sorted((ROOT / folder).rglob("*.py"))}
    nodes = [(node, path.name) for path, tree in files.items() for node in ast.walk(tree)]
    found = {alias.name: path for node, path in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module: path for node, path in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    found = {name.partition(".")[0]: path for name, path in found.items()}
    ours = {"ascent", "support", *(path.stem for code in ("scripts", "tests") for path in (ROOT / code).rglob("*.py"))}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | ours}


@cache
def distributions() -> dict[str, set[str]]:
    return {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}


@pytest.mark.parametrize("lock", ["ascent.txt", "dev.txt", "gpu.txt"])
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock):
    text = "".join(line for line in (ENVS / lock).read_text().splitlines(True) if not line.startswith("#"))
    entry = r"[a-z0-9-]+==[0-9][a-z0-9.]*( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    rest = re.sub(entry, "", text)
    assert rest == "", f"envs/{lock}: not a pin with hashes; run `make lock`"


@pytest.mark.parametrize("environment", SOURCES)
def test_a_lock_holds_what_was_asked_for(environment):
    locked = pins(environment)
    for source in SOURCES[environment]:
        for name, requirement in requirements(source).items():
            if environment == "gpu" and source == "ascent.in" and name in OTHER_ON_GPU:
                continue
            assert name in locked, f"{name} of envs/{source} is in no lock; run `make lock`"
            assert locked[name] in requirement.specifier, (
                f"{name} of envs/{source} is locked as {locked[name]}; run `make lock`"
            )


def test_what_torch_brings_for_cuda_is_not_in_the_default_lock():
    cuda = [name for name in pins("ascent") if re.match(r"(nvidia|cuda|triton)", name)]
    assert cuda == ["nvidia-ml-py"], "name them in envs/cuda.txt and run `make lock`"


def test_the_development_lock_has_the_versions_of_the_default_one():
    assert differing(pins("ascent"), pins("dev")) == set()


def test_the_gpu_lock_has_the_versions_of_the_default_one():
    default, gpu = pins("ascent"), pins("gpu")
    elsewhere = {name for name, requirement in requirements("ascent.txt").items() if not applies(requirement, CLUSTER)}
    missing = default.keys() - gpu.keys() - elsewhere
    assert missing | differing(default, gpu) == set(OTHER_ON_GPU)
    assert differing(pins("dev"), gpu) == set()


@pytest.mark.parametrize("environment", ["ascent", "gpu"])
def test_conda_installs_what_the_lock_pins(environment):
    path = ENVS / f"{environment}.yaml"
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    listed = [line.split(" --hash=") for line in dependencies[-1]["pip"]]
    locked = pins(environment)
    assert {Requirement(line[0]).name: Version(line[0].split("==")[1].split()[0]) for line in listed} == locked
    assert len({len(line) > 1 for line in listed}) == 1, "pip takes a hash for every package or for none"
    assert all(re.fullmatch(r"(python|pip) =\d+\.\d+(\.\d+)?", line) for line in dependencies[:-1])
    same = path.read_text() == environment_text(ENVS, path.name)
    assert same, f"envs/{path.name} is not what the lock gives; run `make lock`"


def test_the_running_environment_is_the_locked_one():
    """The GPU environment is known by its faiss; torch's local version (+cpu) is the machine's choice."""
    environments = ["gpu"] if "faiss-gpu" in distributions()["faiss"] else ["ascent", "dev"]
    locks = [lock for environment in environments for lock in LOCKS[environment]]
    here = [(lock, name, pin) for lock in locks for name, pin in requirements(lock).items() if applies(pin)]
    for lock, name, pin in here:
        installed = Version(version(name)).public
        assert installed in pin.specifier, f"{name} {installed} is installed, envs/{lock} has another; run `make test`"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "sources"), [("scripts", ["ascent.in"]), ("tests", ["ascent.in", "dev.in"])])
def test_what_is_imported_was_asked_for(folder, sources):
    asked = {name for source in sources for name in requirements(source)}
    modules = imported(folder)
    assert len(modules) > 10
    for module, path in modules.items():
        names = distributions().get(module, {module})
        if not names & {*asked, *OPTIONAL, "faiss-gpu"}:
            pytest.fail(
                f"{path} imports {module}: add {' or '.join(sorted(names))} to envs/{sources[-1]} and run `make lock`"
            )
