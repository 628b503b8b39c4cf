"""From a text and a prompt to a row: questions, answers that are checked, and questions again that say what was
wrong."""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ..corpora.cells import BadRow
from .answers import Answer, Failure, Request
from .prompts import Templates

# Characters of a wrong answer, and of what is wrong with it, that the model is shown.
_SHOWN, _TOLD = 2000, 300
FORM = "Answer with one JSON object that matches this JSON schema, and with nothing else:\n"
AGAIN = (
    "This answer cannot be used: {fault}. Answer the same request again, with one JSON object that matches the schema."
)
# What a reasoning model may write before its answer, and the fence that others put around it.
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that was not made: the reason, which is counted, and more of it."""

    reason: str
    said: str = ""


class Fault(Exception):
    """What is wrong with an answer: the reason that is counted, and the words for the model."""

    def __init__(self, reason: str, told: str = ""):
        super().__init__(reason)
        self.reason, self.told = reason, (told or reason)[:_TOLD]


def converse(
    templates: Templates, values: dict[str, Any], seed: int, attempts: int
) -> Generator[Request, Answer | Failure, dict[str, Any] | SetAside]:
    """Yield requests and take their answers; return the row, or why there is none.

    values: what the prompt is asked about, by the names of its inputs. seed: draws the prompt's choices, and the
    answers."""
    scope = values | templates.choose(seed)
    asked = [step for step in templates.prompt.steps for _ in range(step.rounds)]
    row: dict[str, Any] = {}
    for place, step in enumerate(asked):
        (_, system), user = templates.messages(step, scope)
        schema = step.schema_of_answer
        form = json.dumps(schema, ensure_ascii=False)
        opening = (("system", f"{system}\n\n{FORM}{form}"), user)
        messages, fault = opening, Fault("never asked")
        for attempt in range(attempts):
            # Another seed: with the same one a server may repeat itself.
            answer = yield Request(messages, schema, (seed + 1_000_003 * attempt + place) % 2**31)
            if isinstance(answer, Failure):
                return SetAside(answer.reason, answer.said)
            try:
                scope = scope | {step.name: read_answer(answer, schema)}
                if place == len(asked) - 1:
                    row = _row(templates, scope)
                break
            except Fault as found:
                fault = found
                messages = (*opening, ("assistant", answer.text[:_SHOWN]), ("user", AGAIN.format(fault=fault.told)))
        else:
            return SetAside(fault.reason, fault.told)
    return row


def read_answer(answer: Answer, schema: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's object. Raises Fault if it is none, or does not match the schema."""
    text = _THOUGHTS.sub("", answer.text).strip()
    text = match[1] if (match := _FENCE.match(text)) else text
    if not answer.complete:
        raise Fault("cut off at max_tokens", "it was cut off, since it is too long; be shorter")
    if not text:
        raise Fault("empty answer", "it is empty")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("not JSON", f"it is not JSON ({error})") from None
    wrong = best_match(Draft202012Validator(schema).iter_errors(found))
    if wrong is not None:
        field = ".".join(str(part) for part in wrong.absolute_path if isinstance(part, str)) or "the answer"
        raise Fault(f"not as the schema says: {field}, {wrong.validator}", f"{field}: {wrong.message}")
    return found


def _row(templates: Templates, scope: dict[str, Any]) -> dict[str, Any]:
    try:
        return templates.row(scope)
    except BadRow as bad:
        raise Fault(str(bad)) from None
