"""What recipes say of rows that a language model writes: checked before the first job, and as its step reads it.

Nothing here imports torch or uses a network: every cluster job parses the workflow again.
"""

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ..errors import AscentError, did_you_mean
from ..settings.recipe import Config
from ..settings.synthesis import Prompt, SynthesisSettings
from ..settings.validation import load
from .recipes import of_workflow

PROMPTS = "config/prompts"


def check_synthesis(config: Config, where: Callable[[Sequence[str]], str | Path]) -> None:
    """Reject a source that names what does not exist, and corpora that are made of each other. where: the file of a
    key."""
    sources = config.synthesised
    for corpus, source in sources.items():
        known = {"documents": config.corpora, "generator": config.generators, "prompt": _prompts()}
        for key, names in known.items():
            if (name := getattr(source, key)) not in names:
                keys = ["corpora", corpus, "source", key]
                raise AscentError(
                    f"{where(keys)}: '{'.'.join(keys)}' names '{name}', which does not exist;"
                    f" {did_you_mean(name, list(names))}"
                )
        if config.corpora[corpus].reader.type != "synthesised":
            raise AscentError(
                f"{where(['corpora', corpus, 'reader'])}: 'corpora.{corpus}.reader' cannot read what a language model"
                " writes; write reader: {type: synthesised}."
            )
    for name, generator in config.generators.items():
        if generator.is_local and generator.model not in config.models:
            raise AscentError(
                f"{where(['generators', name, 'model'])}: 'generators.{name}.model' names '{generator.model}', which"
                f" does not exist; {did_you_mean(generator.model, list(config.models))}"
            )
    try:
        TopologicalSorter({name: [source.documents] for name, source in sources.items()}).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        raise AscentError(
            f"{where(['corpora'])}: corpora are made of each other ({circle}); change a `documents`."
        ) from None


def _prompts() -> list[str]:
    """Return the names of the prompts of the working folder and of the workflow."""
    folders = {Path(PROMPTS), Path(__file__).parents[3] / PROMPTS}
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def read_prompt(name: str) -> Prompt:
    """Read a prompt's file. Raises AscentError if it is none."""
    return load(Prompt, of_workflow(f"{PROMPTS}/{name}.yaml"))


def synthesis_settings(config: Config, corpus: str) -> SynthesisSettings:
    """Return the settings of the step that makes a corpus."""
    source = config.corpora[corpus].source
    generator = config.generators[source.generator]
    prompt = read_prompt(source.prompt)
    return SynthesisSettings(source=source, prompt=prompt, attempts=generator.attempts, answering=generator.answering)
