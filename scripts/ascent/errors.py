"""Errors as a user reads them: one sentence that says where, what is wrong and how to fix it."""

import functools
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec

# How a line of a step's log begins that the terminal shows when the step is done.
WARNING = "warning: "


class AscentError(Exception):
    """An error the user can fix. The message is one sentence: where, what is wrong, how to fix it.

    It may quote a library's message or a file's cells: line breaks become spaces, and what no terminal prints is
    escaped.
    """

    def __init__(self, message: str):
        line = re.sub(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", message)
        super().__init__("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line))


def did_you_mean(word: str, known: list[str]) -> str:
    """Return a clause that offers the nearest known word, or lists the known words if none is near."""
    by_lower_case = {name.lower(): name for name in known}
    near = get_close_matches(word, known, n=1)
    near = near or [by_lower_case[name] for name in get_close_matches(word.lower(), by_lower_case, n=1)]
    if near:
        return f"did you mean '{near[0]}'?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"known are: {', '.join(sorted(known)[:20]) or 'none'}{more}."


def warn(message: str) -> None:
    """Print one sentence for the user, who need not act on it. What a step prints so is shown in the terminal, too."""
    print(f"{WARNING}{message}", file=sys.stderr, flush=True)


def reports_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Make a command line print an AscentError as one line on stderr and return 1; otherwise its own status, or 0."""

    @functools.wraps(main)
    def wrapped(*arguments, **options) -> int:
        try:
            return main(*arguments, **options) or 0
        except AscentError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return wrapped


def refuse_other_python(packages: tuple[str, ...]) -> None:
    """Exit with one sentence if this Python lacks one of the packages: it is not that of Ascent's environment."""
    for name in packages:
        if find_spec(name) is None:
            sys.exit(_other_python(name))


def _other_python(package: str) -> str:
    return (
        f"error: {sys.executable}: has no package '{package}'; run this in Ascent's environment, "
        "by `source .venv/bin/activate` (docs/installation.md)."
    )


def _report_import(kind: type[BaseException], error: BaseException, trace) -> None:
    """Report a package that is missing, which a command line finds out before it can report anything else."""
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] != "ascent":
        print(_other_python(error.name), file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _report_import
