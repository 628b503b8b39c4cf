"""The walls of the house: which folder may import which, and what is imported while the Snakefile is parsed."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal

import pytest

from ascent import settings
from ascent.settings.base import Component, components
from ascent.settings.training import Stage

REPOSITORY = Path(__file__).parents[1]
LIBRARY = REPOSITORY / "scripts" / "ascent"
# A file or folder imports only what stands to its left.
ORDER = (
    "errors layout files progress collectives settings components sources pairs corpora model synthesis negatives"
    " teachers tokens losses training recipes evaluation planning report release"
).split()
ROOT = {"__init__", "errors", "layout", "files", "progress", "components", "collectives"}
HEAVY = ("torch", "transformers", "datasets", "mteb", "faiss", "deepspeed")
# Files of these folders that are not components.
SHARED = {"losses": {"ring", "mixing", "rows"}, "sources": {"gguf"}}
PLAIN = ("recipes.loading", "recipes.step_settings", "planning.plan", "tokens.tokenise")


def imports_of(path: Path) -> set[str]:
    """The file's or folder's names in the library's root that a file imports."""
    folder = path.relative_to(LIBRARY).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = folder[: len(folder) - node.level + 1]
            names = [*above, *(node.module or "").split(".")]
            named = [name for name in names if name]
            found |= {named[0]} if named else {alias.name for alias in node.names}
    return found


def test_the_root_holds_what_every_station_uses():
    assert {path.stem for path in LIBRARY.glob("*.py")} == ROOT


def test_imports_point_one_way():
    """No folder imports one that stands above it, so no two import each other."""
    places = {name: place for place, name in enumerate(ORDER)}
    back = []
    for path in LIBRARY.rglob("*.py"):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        if parts[0] == "__init__":
            continue
        back += [f"{'.'.join(parts)} -> {name}" for name in imports_of(path) if places[name] > places[parts[0]]]
    assert back == []


def test_settings_import_pydantic_and_yaml_only():
    outside = set()
    for path in (LIBRARY / "settings").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                outside |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                outside.add(node.module.split(".")[0])
    assert outside - sys.stdlib_module_names == {"pydantic", "yaml"}


@pytest.mark.slow
def test_what_is_parsed_and_planned_loads_nothing_heavy():
    """One process for all: what any of these modules loads, directly or not, shows in its sys.modules."""
    code = "import importlib, sys\n"
    code += "".join(f"importlib.import_module('ascent.{name}')\n" for name in PLAIN)
    code += f"print(*sorted({HEAVY!r} & sys.modules.keys()))".replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run([sys.executable, "-c", code], cwd=LIBRARY.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_workers_that_read_ahead_load_no_tables():
    """Each would spend 0.6 s and 100 MB on polars."""
    code = "import sys, ascent.training.loader; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=LIBRARY.parent, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_paths_of_results_are_spelled_in_one_file():
    """Rules take them from there, too; logs and benchmarks are theirs alone."""
    files = [*LIBRARY.parent.rglob("*.py"), *(REPOSITORY / "rules").glob("*.smk"), REPOSITORY / "Snakefile"]
    spelled = [file.name for file in files if re.search(r"""["'](results|resources)/""", file.read_text())]
    assert spelled == ["layout.py"]


def kinds_of_component() -> list[type[Component]]:
    for module in iter_modules(settings.__path__):
        import_module(f"{settings.__name__}.{module.name}")
    return Component.__subclasses__()


@pytest.mark.parametrize("kind", kinds_of_component(), ids=lambda kind: kind.__name__)
def test_a_component_is_a_class_of_settings_and_a_file_of_its_name(kind):
    package = import_module(f"ascent.{kind.folder}")
    assert {module.name for module in iter_modules(package.__path__)} - SHARED.get(kind.folder, set()) == set(
        components(kind)
    )
    for name, component in components(kind).items():
        if "type" in component.model_fields:
            assert component.model_fields["type"].annotation == Literal[name]


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by it: of two, one is not run."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_every_kind_of_stage_has_a_rule_and_a_summary():
    """The report asks for the summary after all training, too late to find it missing."""
    for kind in components(Stage).values():
        assert kind.summary is not Stage.summary
        assert hasattr(kind, "rule")


DOCUMENTS = [path for folder in (".", "docs", "config", "profiles/*") for path in REPOSITORY.glob(f"{folder}/*.md")]


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_documents_name_what_exists(document):
    """Relative links with their anchors, files of code, and make's targets."""
    text, wrong = document.read_text(), []
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        target = document.parent / link if link else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{link}#{anchor}")
    for path in re.findall(r"(?<![\w/.<>*])[\w./]+/[\w.]+\.(?:py|smk|md)\b(?![\w/])", re.sub(r"\]\([^)]*\)", "", text)):
        if not path.startswith("results/") and not any((folder / path).exists() for folder in (REPOSITORY, LIBRARY)):
            wrong.append(path)
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    wrong += [
        f"make {name}" for name in re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE) if name not in targets
    ]
    assert wrong == []


GENERATED = {"reference.md", "recipes.md"}
LONG = GENERATED | {"log.md", "CHANGELOG.md", "CONTRIBUTING.md"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_document_has_150_lines_and_its_prose_100_columns(document):
    """Tables and code may be wider; the log, lists of changes and references longer."""
    lines, code, wide = document.read_text().splitlines(), False, []
    for number, line in enumerate(lines, 1):
        code ^= line.startswith("```")
        if len(line) > 100 and not code and not line.startswith(("|", "    ")) and document.name not in GENERATED:
            wide.append(number)
    assert wide == []
    assert len(lines) <= 150 or document.name in LONG


def test_comments_have_120_columns():
    """Of the files that ruff does not read; of snakefmt's it leaves comments as they are."""
    files = [REPOSITORY / "Makefile", REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk")]
    folders = ("config", "config/recipes", "profiles/*")
    files += [path for folder in folders for path in REPOSITORY.glob(f"{folder}/*.yaml")]
    wide = [
        f"{path.name}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120 and line.lstrip().startswith("#")
    ]
    assert wide == []


def test_the_library_s_files_and_functions_are_short():
    files = {path: path.read_text() for path in LIBRARY.rglob("*.py")}
    assert [path.name for path, text in files.items() if text.count("\n") > 400] == []
    functions = [
        f"{path.name}:{node.name}"
        for path, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60
    ]
    assert functions == []
