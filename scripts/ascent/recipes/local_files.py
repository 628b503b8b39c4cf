"""What the files of this machine show before the first job: missing files and columns, splits that no task can use,
encoders where a language model is needed.

Only the first row of each text file is read, and only of the corpora that a recipe uses. Nothing here imports torch or
uses a network: every cluster job parses the workflow again."""

import csv
import gzip
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import AscentError, did_you_mean
from ..files import read_json
from ..settings.corpora import Corpus
from ..settings.tables import COMPRESSED, FORMATS, Reads, format_of, root_of
from .recipes import Recipes

# Architectures whose tokens see those behind them, by the `model_type` of transformers.
ENCODERS = (
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "modernbert", "mpnet"),
    *("nomic_bert", "roberta", "t5", "xlm-roberta", "xlm-roberta-xl"),
)


def check_local_files(recipes: Recipes) -> None:
    """Raise AscentError for a local file that is missing, empty or of another form than its corpus says, for a split
    that a recipe uses and its corpus lacks, of pairs or of documents to search in, and for what a filter or an
    augmentation of a recipe needs and does not find."""
    files = {source: files_by_name(recipes, *source) for source in recipes.local_sources}
    for name in sorted({corpus for corpus, *_ in (*_uses(recipes), *_searches(recipes))}):
        corpus = recipes.config.corpora[name]
        if corpus.source.type == "files":
            for reads in corpus.reader.reads():
                _check_reads(files["corpora", name], f"corpora.{name}.reader", reads, corpus.reader.component())
    for name, split, task, where in _uses(recipes):
        _check_use(recipes.config.corpora[name], name, split, task, where)
    for name, split, where in _searches(recipes):
        splits = recipes.config.corpora[name].reader.document_splits()
        if splits is not None and split not in splits:
            raise AscentError(
                f"{where} names the corpus '{name}' for its documents of the split '{split}', but its reader has files"
                f" for: {', '.join(splits) or 'none'}; have it read documents of this split, too, or remove the corpus"
                " here."
            )
    _, writers = recipes.config.made_from({corpus for corpus, *_ in (*_uses(recipes), *_searches(recipes))})
    for name, generator in recipes.config.generators.items():
        if generator.is_local and generator.model in writers:
            _check_language_model(recipes, generator.model, f"'generators.{name}.model'")
    for name, recipe in recipes.recipes.items():
        for key, dataset in recipe.data.items():
            where = f"{recipes.path(name)}: 'data.{key}"
            for model in dataset.language_models:
                _check_language_model(recipes, model, f"{where}.filters'")
            for each in dataset.augment:
                if lacks := each.settings.lacks():
                    raise AscentError(f"{where}.augment' {lacks}.")


def _check_language_model(recipes: Recipes, name: str, where: str) -> None:
    """Reject a model that the catalogue, or its own config.json where its files are local, shows to be an encoder."""
    model = recipes.config.models[name]
    folders = model.source.paths if model.source.type == "files" else []
    found = [path for folder in folders if (path := Path(folder) / "config.json").is_file()]
    config = read_json(found[0]) if found else {"model_type": model.shape and model.shape.architecture}
    if config.get("model_type") in ENCODERS and not config.get("is_decoder"):
        raise AscentError(
            f"{where} needs a causal language model, but '{name}' is an encoder ({config['model_type']}); name another"
            " model."
        )


def _uses(recipes: Recipes) -> Iterator[tuple[str, str, str, str]]:
    """Yield each use of a corpus: its name, the split, the rows' task type, and where the recipe says so."""
    for name, recipe in recipes.recipes.items():
        path = recipes.path(name)
        for key, dataset in recipe.data.items():
            yield dataset.corpus, dataset.split, dataset.task, f"{path}: 'data.{key}'"
        for key, task in recipe.evaluate.tasks.items():
            for split in (*task.splits_besides, task.split):
                yield task.corpus, split, task.rows, f"{path}: 'evaluate.tasks.{key}'"


def _searches(recipes: Recipes) -> Iterator[tuple[str, str, str]]:
    """Yield each use of a corpus for its documents: its name, the split, and where the recipe says so."""
    for name, recipe in recipes.recipes.items():
        path = recipes.path(name)
        for key, stage in recipe.stages.items():
            for dataset in filter(stage.mines_for, stage.datasets_read):
                for corpus in stage.mining_used.documents:
                    yield corpus, recipe.data[dataset].split, f"{path}: 'stages.{key}.mining.documents'"
        for key, task in recipe.evaluate.tasks.items():
            for corpus in task.pools:
                yield corpus, task.split, f"{path}: 'evaluate.tasks.{key}.documents'"


def files_by_name(recipes: Recipes, kind: str, name: str) -> dict[str, Path]:
    """Return a corpus's or a model's local files by the names that its reader knows them by. Raises AscentError for one
    that is missing or empty."""
    where, files = f"'{kind}.{name}.source.paths'", {}
    for given in map(Path, getattr(recipes.config, kind)[name].source.paths):
        if not given.exists():
            known = [str(path) for path in given.parent.glob("*")]
            raise AscentError(f"{where} names '{given}', which does not exist; {did_you_mean(str(given), known)}")
        inside = [path for path in given.rglob("*") if path.is_file()] if given.is_dir() else []
        files |= {path.relative_to(given).as_posix(): path for path in inside} or {given.name: given}
    for path in files.values():
        if path.stat().st_size == 0:
            raise AscentError(f"{path}: is empty; fill it, or remove it from {where}.")
    return files


def _check_reads(files: dict[str, Path], where: str, reads: Reads, reader: str) -> None:
    for pattern in reads.patterns:
        found = [path for file, path in files.items() if PurePosixPath(file).match(pattern)]
        # Python before 3.13 takes `**` for one folder here, so only what is behind it can be missed.
        if not any(PurePosixPath(file).match(pattern.rpartition("**/")[2]) for file in files):
            raise AscentError(
                f"'{where}.{reads.key}' names '{pattern}', which is none of the source's files; "
                f"{did_you_mean(pattern, list(files))}"
            )
        for path in found:
            _check_file(path, where, reads, reader)


def _check_file(path: Path, where: str, reads: Reads, reader: str) -> None:
    kind = format_of(path)
    if kind not in FORMATS:
        if reads.plain:
            return
        raise AscentError(
            f"{path}: unknown format; use one of {', '.join(FORMATS)}, optionally {' or '.join(COMPRESSED.values())}."
        )
    header = _header(path, kind)
    for column, key in reads.columns.items():
        if header and not {column, root_of(column)} & set(header):
            words = did_you_mean(column, [textwrap.shorten(cell, 40, placeholder=" …") for cell in header])
            if kind in (".csv", ".tsv") and not words.startswith("did"):
                fix = "fix this key" if key else "use another reader"
                words = f"its first line must be a header with the columns' names: add one, or {fix}; {words}"
                for other in (mark for mark in ";|\t," if column in ",".join(header).split(mark)):
                    words = f"its cells are divided by {other!r}: save it with commas as .csv, or with tabs as .tsv."
            why = f"'{where}.{key}'" if key else f"'{where}.type' is {reader}"
            raise AscentError(f"{path}: its first row has no column '{column}' ({why}); {words}")


def _header(path: Path, kind: str) -> list[str]:
    """Return the columns of a file's first row; none where more than its first line would have to be read."""
    if path.suffix not in (kind, ".gz") or kind not in (".jsonl", ".csv", ".tsv"):
        return []
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            line = file.readline()
        if kind == ".jsonl":
            return list(json.loads(line))
        return next(csv.reader([line], delimiter="\t" if kind == ".tsv" else ","), [])
    except (OSError, ValueError, TypeError, csv.Error):
        return []  # what is wrong with it, its reader says


def _check_use(corpus: Corpus, name: str, split: str, task: str, where: str) -> None:
    read, made = corpus.reader.splits(), corpus.makes(split)
    needs = f"{where} needs rows of the task type '{task}'"
    if not made and read == []:
        raise AscentError(
            f"{needs} of the split '{split}' of the corpus '{name}', which has documents only; make pairs of them by"
            " its key `extract`, such as [whole_text], for this split and task type."
        )
    if not made and read is not None and split not in read:
        raise AscentError(
            f"{where} uses the split '{split}' of the corpus '{name}', whose reader has files of pairs for: "
            f"{', '.join(read)}; name files of this split, or change the split."
        )
    kinds = made if read is not None and split not in read else [*made, corpus.reader.task_type()]
    if task not in kinds and None not in kinds:
        fix = f"write `task: {kinds[0]}` here" if "'data." in where else "change `task` of its reader"
        listed = " and ".join(f"'{kind}'" for kind in dict.fromkeys(kinds))
        raise AscentError(f"{needs}, but the rows of the corpus '{name}' are {listed}; {fix}, or use another corpus.")
