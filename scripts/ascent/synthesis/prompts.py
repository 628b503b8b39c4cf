"""A prompt's templates, ready to be filled, and the row that its answers make."""

import random
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..corpora.cells import BadRow, usable_number, usable_text
from ..errors import AscentError, did_you_mean
from ..settings.synthesis import Prompt, Step

# Templates and expressions see the row's values and earlier answers, and nothing of Python.
_JINJA = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)


class Templates:
    """The templates of a prompt. Raises AscentError for one that is not a template, or names what it cannot see."""

    def __init__(self, name: str, prompt: Prompt):
        self.name, self.prompt = name, prompt
        seen = {*prompt.inputs, *prompt.choices}
        self._system = self._compiled("system", prompt.system, seen)
        self._users = {}
        for step in prompt.steps:
            # A later round sees the answer of the one before.
            self._users[step.name] = self._compiled(f"steps.{step.name}", step.user, seen | {step.name})
            seen |= {step.name}
        for column, expression in prompt.row.items():
            self._compiled(f"row.{column}", f"{{{{ {expression} }}}}", seen)
        self._row = {
            column: _JINJA.compile_expression(text, undefined_to_none=False) for column, text in prompt.row.items()
        }

    def messages(self, step: Step, values: dict[str, Any]) -> list[tuple[str, str]]:
        """Return a step's messages (role, text), without what is said of the answer's form."""
        try:
            return [
                ("system", self._system.render(values).strip()),
                ("user", self._users[step.name].render(values).strip()),
            ]
        except TemplateError as error:
            raise AscentError(
                f"prompt {self.name}: step '{step.name}' cannot be filled in ({error}); fix its templates."
            ) from None

    def row(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the row that the values and answers make. Raises BadRow if it cannot be used."""
        row = {column: self._evaluated(column, values) for column in self._row}
        made: dict[str, Any] = {name: usable_text(row[name], name) for name in ("query", "positive")}
        negatives = row.get("negatives") or []
        made["negatives"] = [usable_text(text, "negative") for text in negatives]
        made["label"] = usable_number(row["label"], "label") if "label" in row else None
        made["scores"] = [usable_number(score, "score") for score in row["scores"]] if "scores" in row else None
        if made["scores"] is not None and len(made["scores"]) != 1 + len(negatives):
            raise BadRow("not one score per document")
        if made["query"] == made["positive"]:
            raise BadRow("query and positive are the same text")
        if {made["query"], made["positive"]} & set(made["negatives"]):
            raise BadRow("a negative is the query or the positive")
        return made

    def choose(self, seed: int) -> dict[str, Any]:
        """Draw one value of each of the prompt's choices."""
        draw = random.Random(seed)
        return {name: draw.choice(values) for name, values in self.prompt.choices.items()}

    def _compiled(self, key: str, text: str, seen: set[str]):
        where = f"prompt {self.name}: '{key}'"
        try:
            parsed = _JINJA.parse(text)
        except TemplateError as error:
            raise AscentError(f"{where} is not a Jinja template ({error}); fix it.") from None
        for name in sorted(meta.find_undeclared_variables(parsed) - seen):
            raise AscentError(f"{where} names '{name}', which it does not see; {did_you_mean(name, sorted(seen))}")
        fields = {step.name: list(step.answer) for step in self.prompt.steps}
        for node in parsed.find_all(nodes.Getattr):
            step = getattr(node.node, "name", None)
            if step in fields and node.attr not in fields[step]:
                known = did_you_mean(node.attr, fields[step])
                raise AscentError(f"{where} names '{step}.{node.attr}', which is not a field of that answer; {known}")
        return _JINJA.from_string(text)

    def _evaluated(self, column: str, values: dict[str, Any]) -> Any:
        try:
            value = self._row[column](**values)
        except (TemplateError, TypeError, ArithmeticError) as error:
            raise BadRow(f"row.{column} cannot be computed ({type(error).__name__})") from None
        if isinstance(value, Undefined):
            raise BadRow(f"no {column}")
        return value
