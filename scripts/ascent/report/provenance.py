"""When a page was made, and by which versions."""

import subprocess
import tomllib
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("torch", "transformers", "sentence-transformers", "mteb")


def made() -> dict[str, str]:
    """Return today's date, Ascent's version with its commit where the code is in a repository, and the packages'
    versions."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"date": date.today().isoformat(), "Ascent": _own_version()} | found


def sentence(facts: dict[str, str] | None = None) -> str:
    """Return `Made on <date> by Ascent <version>, with torch <version>, ...`."""
    facts = dict(facts or made())
    day, own = facts.pop("date"), facts.pop("Ascent")
    others = ", ".join(f"{package} {number}" for package, number in facts.items())
    return f"Made on {day} by Ascent {own}" + (f", with {others}." if others else ".")


def _own_version() -> str:
    number = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return number
    edited = " with edits" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{number} (commit {commit}{edited})"


def _git(*arguments: str) -> str:
    """Return what git says of the code's own repository; nothing where it has none."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
