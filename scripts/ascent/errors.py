"""Errors as a user reads them: one sentence that names the place and the mend."""

import functools
import sys
from collections.abc import Callable
from difflib import get_close_matches


class AscentError(Exception):
    """Something the user can mend. The message is one sentence: where, what, the mend."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return a clause that offers the nearest known word, or lists what is known when none is near."""
    near = get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"known are: {', '.join(sorted(known)[:20]) or 'none'}{more}."


def reports_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Turn an AscentError of a command line into one line on stderr and exit status 1; else return its status, or 0."""

    @functools.wraps(main)
    def wrapped(*arguments, **options) -> int:
        try:
            return main(*arguments, **options) or 0
        except AscentError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return wrapped
