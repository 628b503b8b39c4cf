"""InsuranceQA (Feng et al. 2015, arXiv 1508.01585) in the form of the package insuranceqa-data.

{train,valid,test}.json.gz: question id -> {en, zh, domain, answers: ids, negatives: 200 ids};
answers.json.gz: answer id -> {en, zh}. Each question makes retrieval rows and, with its domain, a
classification row.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import AscentError
from ...pairs.table import Document, Pair
from ...settings.readers import Insuranceqa, Slice
from ..cells import BadRow, usable_text
from ..formats.opening import open_bytes
from . import Rejected, as_read

# Negatives kept per question for reranking, of 200.
NEGATIVES = 20


def read(folder: Path, settings: Insuranceqa) -> Iterator[Pair | Document | Rejected]:
    """Yield the rows of each split, then the pools. A training question has its first answer only."""
    answers = _read_json(folder / "answers.json.gz")
    questions = {
        split: _read_json(folder / f"{name}.json.gz")
        for split, name in {"train": "train", "validation": "valid", "test": "test"}.items()
    }
    chosen = {split: list(rows) for split, rows in questions.items()}
    pools = {"validation": list(answers), "test": list(answers)}
    if settings.slice:
        chosen, pools = _slice(questions, list(answers), settings.slice, folder)

    for split, ids in chosen.items():
        for id in ids:
            try:
                yield from _rows(questions[split][id], answers, split, settings.language)
            except BadRow as reason:
                yield Rejected(f"{split}:{id}", str(reason), split, as_read(questions[split][id]))
            except KeyError as error:
                raise AscentError(
                    f"{folder}: question {id} of {split} lacks {error}; retrieve the corpus again."
                ) from None
    for split, ids in pools.items():
        for id in ids:
            try:
                yield Document(usable_text(answers[id][settings.language], "answer"), split)
            except BadRow as reason:
                yield Rejected(f"answers:{id}", str(reason), f"{split} documents", as_read(answers[id]))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with open_bytes(path) as handle:
            rows = json.load(handle)
    except (OSError, ValueError, RecursionError) as error:
        raise AscentError(f"{path}: not a complete JSON file ({error}); retrieve the corpus again.") from None
    if not isinstance(rows, dict):
        raise AscentError(f"{path}: must hold one JSON object; check that the corpus's `reader` fits its files.")
    return rows


def _rows(question: dict, answers: dict, split: str, language: str) -> list[Pair]:
    text = usable_text(question[language], "question")
    right = [usable_text(answers[id][language], "answer") for id in question["answers"]]
    domain = usable_text(question["domain"], "domain")
    wrong = ()
    if split == "train":
        right = right[:1]
    else:
        wrong = tuple(usable_text(answers[id][language], "negative") for id in question["negatives"][:NEGATIVES])
    rows = [Pair(text, answer, wrong, split=split, origin=domain) for answer in right]
    return [*rows, Pair(text, domain, task="classification", split=split, origin=domain)]


def _slice(questions: dict, answer_ids: list[str], slice: Slice, folder: Path) -> tuple[dict, dict]:
    """Draw the questions of each split and the two pools.

    The order of the draws is part of the slice: first the test questions and their pool, then the training questions
    from the same random state. The validation slice is drawn like the test slice, from its own state."""
    for split, rows in questions.items():
        if len(rows) < getattr(slice, split):
            raise AscentError(
                f"{folder}: `slice.{split}` is {getattr(slice, split)}, but there are {len(rows)} questions; lower it."
            )
    state = random.Random(slice.seed)
    chosen, pools = {}, {}
    chosen["test"], pools["test"] = _draw(questions["test"], slice.test, answer_ids, slice.pool, state)
    chosen["train"] = state.sample(sorted(questions["train"]), slice.train)
    chosen["validation"], pools["validation"] = _draw(
        questions["validation"], slice.validation, answer_ids, slice.pool, random.Random(slice.seed)
    )
    return chosen, pools


def _draw(questions: dict, count: int, answer_ids: list[str], size: int, state: random.Random) -> tuple[list, list]:
    chosen = state.sample(sorted(questions), count)
    right = {answer for id in chosen for answer in questions[id]["answers"]}
    others = [answer for answer in answer_ids if answer not in right]
    state.shuffle(others)
    return chosen, sorted(right) + others[: max(0, size - len(right))]
