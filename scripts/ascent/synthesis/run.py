"""Ask for all rows of a corpus, then write them."""

import json
from collections import Counter
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Any

from ..components import code_of
from ..errors import AscentError
from ..files import digest_of, folder_atomically, sha256_file, write_json
from ..pairs.parquet import Table
from ..progress import Progress
from ..settings.synthesis import Generator as AnsweringModel
from ..settings.synthesis import SynthesisSettings
from .answers import Answer, Answers, Failure, Request
from .conversation import SetAside, converse
from .prompts import Templates
from .texts import Asked, Texts

ROWS, SET_ASIDE = "rows.jsonl", "set_aside.jsonl"
# As many failures without one answer between them: the server is down, or refuses everything.
UNANSWERED = 20
# From this many rows on, the largest share of them that may be set aside: asking on would cost and give little.
FEW, MOST_SET_ASIDE = 100, 0.5

Conversation = Generator[Request, Answer | Failure, dict[str, Any] | SetAside]


def synthesise(
    name: str,
    settings: SynthesisSettings,
    generator: AnsweringModel,
    table: Table,
    answers: str | Path,
    output: str | Path,
    model: str | Path | None = None,
) -> dict[str, Any]:
    """Ask for the rows of the corpus `name`, and write them and those set aside to the folder `output`; return the
    counts.

    table: the documents or pairs that are asked about. answers: the file that keeps every answer, and outlives the run.
    model: the folder of a local generator's model. Raises AscentError if the generator cannot be used, or gives hardly
    any row."""
    texts = Texts(settings.source, settings.prompt, table)
    templates = Templates(settings.source.prompt, settings.prompt)
    with Answers(answers) as kept:
        kept.forget_failures()
        with code_of(generator)(generator, model) as backend:
            run = _Run(name, settings, templates, kept, backend)
            run.ask(texts)
        print(f"{name}: asked {run.asked:,} requests")
        return run.write(texts, output)


class _Run:
    def __init__(self, name: str, settings: SynthesisSettings, templates: Templates, kept: Answers, backend: Any):
        self.name, self.settings, self.templates, self.kept, self.backend = name, settings, templates, kept, backend
        self.answering = [settings.answering, backend.identity]
        self.waiting: dict[str, list[Conversation]] = {}  # by the key of the answer that they wait for
        self.outcomes: Counter[str] = Counter()
        self.asked = self.unanswered = 0

    def ask(self, texts: Texts) -> None:
        """Get every answer that the rows need and that is not kept yet."""
        rows = iter(texts)
        with Progress(f"corpus {self.name}", self.settings.source.rows, "rows", patience=10) as self.progress:
            while True:
                fresh = list(islice(rows, max(0, self.backend.window - len(self.waiting))))
                for asked in fresh:
                    conversation = self._converse(asked)
                    self._go_on(conversation, next(conversation))
                if self.waiting:
                    self._take(self.backend.finished())
                elif not fresh:
                    break
        if not self.outcomes[""]:
            self._refuse()

    def _converse(self, asked: Asked) -> Conversation:
        return converse(self.templates, asked.values, asked.seed, self.settings.attempts)

    def _take(self, answered: list[tuple[str, Answer | Failure]]) -> None:
        self.kept.keep(answered)
        for key, answer in answered:
            self._count_failures(answer)
            for conversation in self.waiting.pop(key):
                self._send(conversation, answer)

    def _send(self, conversation: Conversation, answer: Answer | Failure) -> None:
        try:
            request = conversation.send(answer)
        except StopIteration as done:
            self._finish(done.value)
        else:
            self._go_on(conversation, request)

    def _go_on(self, conversation: Conversation, request: Request) -> None:
        """Answer a request from what is kept, or have it asked, once for all conversations that ask the same."""
        key = request.key(self.answering)
        if key in self.waiting:
            self.waiting[key].append(conversation)
        elif (answer := self.kept.get(key)) is not None:
            self._send(conversation, answer)
        else:
            self.waiting[key] = [conversation]
            self.asked += 1
            self.backend.submit(key, request)

    def _finish(self, outcome: dict | SetAside) -> None:
        self.progress.advance()
        self.outcomes[outcome.reason if isinstance(outcome, SetAside) else ""] += 1
        total = self.outcomes.total()
        if total >= FEW and total - self.outcomes[""] > MOST_SET_ASIDE * total:
            self._refuse()

    def _refuse(self) -> None:
        total, reasons = self.outcomes.total(), [each for each in self.outcomes.most_common(4) if each[0]]
        told = "; ".join(f"{count} x {reason}" for reason, count in reasons)
        ignores = ", which may ignore `response_format`" if reasons and reasons[0][0] == "not JSON" else ""
        raise AscentError(
            f"corpus {self.name}: {total - self.outcomes['']} of the first {total} rows were set aside ({told}); fix"
            f" the prompt, the settings of the generator or its server{ignores}; the answers so far are kept."
        )

    def _count_failures(self, answer: Answer | Failure) -> None:
        self.unanswered = self.unanswered + 1 if isinstance(answer, Failure) else 0
        if self.unanswered >= UNANSWERED:
            said = f"{answer.reason}: {answer.said}" if answer.said else answer.reason
            raise AscentError(
                f"corpus {self.name}: {UNANSWERED} requests in a row failed ({said}); check that the generator's server"
                " runs and takes such requests, then re-run; the answers so far are kept."
            )

    def write(self, texts: Texts, output: str | Path) -> dict[str, Any]:
        """Write the rows in the order of the texts, all from kept answers; return the counts."""
        source, prompt = self.settings.source, self.settings.prompt
        tokens, reasons = Counter(input_tokens=0, output_tokens=0), Counter()
        with folder_atomically(output) as folder:
            with (
                (folder / ROWS).open("w", encoding="utf-8") as rows,
                (folder / SET_ASIDE).open("w", encoding="utf-8") as aside,
            ):
                for asked in texts:
                    outcome = self._replay(self._converse(asked), tokens)
                    if isinstance(outcome, SetAside):
                        reasons[outcome.reason] += 1
                        value = {
                            "about": asked.about,
                            "reason": outcome.reason,
                            "said": outcome.said,
                            "split": source.split,
                        }
                        aside.write(json.dumps(value) + "\n")
                    else:
                        value = outcome | {"task": prompt.task, "split": source.split, "origin": asked.origin}
                        rows.write(json.dumps(value, ensure_ascii=False) + "\n")
            counts = {
                "asked": source.rows,
                "made": source.rows - reasons.total(),
                "set_aside": dict(sorted(reasons.items())),
                **tokens,
            }
            values = self.settings.model_dump(mode="json")
            values |= {"prompt_version": digest_of(values["prompt"]), "counts": counts}
            files = {file: {"sha256": sha256_file(folder / file)} for file in (ROWS, SET_ASIDE)}
            write_json(folder / "provenance.json", values | {"files": files})
        return counts

    def _replay(self, conversation: Conversation, tokens: Counter) -> dict[str, Any] | SetAside:
        request = next(conversation)
        while True:
            answer = self.kept.get(request.key(self.answering))
            if isinstance(answer, Answer):
                tokens.update(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
            try:
                request = conversation.send(answer)
            except StopIteration as done:
                return done.value
