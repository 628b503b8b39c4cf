"""What a plan reads: models and texts as far as they are here, and else what the catalogue says of them."""

from functools import cache, cached_property
from pathlib import Path

import polars as pl

from .. import layout
from ..errors import AscentError
from ..model.shape import Shape, described_shape, read_shape
from ..pairs.earlier import count_rows
from ..pairs.parquet import named
from ..pairs.repeating import repeated_share
from ..pairs.select import with_positives
from ..pairs.table import Pair, pair_batches, pair_frame
from ..recipes.local_files import files_by_name
from ..recipes.recipes import Recipes
from ..settings.corpora import BackboneShape, Size
from ..settings.evaluation import LocalTask
from ..settings.model import Backbone
from ..settings.sources import Files
from .local_rows import LocalRows, can_be_read, read_local
from .token_counts import CHARACTERS, SAMPLE, EstimatedCounter, TokenCounter

# Rows of a data set that a plan reads; of more, every so many-th.
ROWS = 200_000


class Inputs:
    """The inputs of one recipe's plan. `notes`: what it says of them."""

    def __init__(self, recipes: Recipes, name: str):
        self.recipes, self.name, self.recipe = recipes, name, recipes.recipes[name]
        self.notes: list[str] = []
        self._rows = cache(self._read_rows)
        self.documents = cache(self._read_documents)
        self.local_files = cache(self._find_local_files)
        self.local = cache(self._read_local)
        self.shape = cache(self._read_shape)
        self.counter = cache(self._make_counter)

    # ------------------------------------------------------------ models

    @cached_property
    def teachers(self) -> list[Backbone]:
        """The teachers of the data sets that are trained on."""
        return [each for name in self.recipes.training_data(self.name) for each in self.recipe.data[name].teachers]

    @cached_property
    def models(self) -> set[str]:
        """The models that the recipe's jobs load: the base, all teachers, and those that filters judge by."""
        stages = [self.recipe.stages[name] for name in self.recipes.trained(self.name)]
        data = [self.recipe.data[name] for name in self.recipes.training_data(self.name)]
        measuring = {model for each in data for model in each.measured_by}
        return {self.recipe.base.model} | measuring | {stage.teacher_model for stage in stages} - {None}

    @cached_property
    def backbones(self) -> list[Backbone]:
        """The base and all teachers that embed, as the recipe uses them."""
        stages = [self.recipe.stages[name] for name in self.recipes.trained(self.name)]
        used = [
            self.recipe.base,
            *self.teachers,
            *(stage.teacher_used for stage in stages if stage.teacher_model),
        ]
        return [model for model in used if isinstance(model, Backbone)]

    def model_folder(self, model: str) -> Path:
        """Return where a model is retrieved to; before it is, the folder of this machine that it comes from, if it
        does."""
        folder, settings = Path(layout.RETRIEVED_MODEL.format(model=model)), self.recipes.config.models[model]
        if folder.is_dir() or settings.adapter_of or not isinstance(settings.source, Files):
            return folder
        return next((path for path in map(Path, settings.source.paths) if (path / "config.json").is_file()), folder)

    def model(self, name: str) -> Path | BackboneShape | None:
        """Return a model's folder; if it is not here what the catalogue says of its shape."""
        folder, models = self.model_folder(name), self.recipes.config.models
        return folder if folder.is_dir() else models[models[name].adapter_of or name].shape

    def _read_shape(self, name: str) -> Shape:
        model = self.model(name)
        if isinstance(model, Path):
            return read_shape(model)
        self.notes.append(
            f"Model {name}: is not retrieved; its shape is the catalogue's, and four characters are a token."
        )
        return described_shape(model)

    def _make_counter(self, name: str, most: int) -> TokenCounter | EstimatedCounter:
        folder, ends = self.model_folder(name), any(used.append_eos for used in self.backbones if used.model == name)
        return TokenCounter(folder, most, append_eos=ends) if folder.is_dir() else EstimatedCounter(most)

    # ------------------------------------------------------------ texts

    def _tables(self, dataset: str) -> list[list[str]]:
        """The files of each table that may hold a data set's rows, the closest to training first."""
        steps = self.recipes.steps(self.name, dataset)
        parts = self.recipes.parts(steps.dataset.corpus)
        filtered = [
            layout.parts_of(layout.FILTERED, parts, folder=step.folder, key=step.key) for step in reversed(steps.passes)
        ]
        return [*filtered, self.recipes.corpus_files(layout.CORPUS_PAIRS, steps.dataset.corpus)]

    def check(self) -> None:
        """Raise AscentError that names what is missing of models and training data, what of it the catalogue could
        say, and the command that makes it with the corpora of local tasks. These alone are only left out."""
        corpora, unknown = self.recipes.config.corpora, {}
        for model in sorted(self.models):
            if self.model(model) is None:
                unknown[f"models.{model}.shape"] = [str(self.model_folder(model))]
        for dataset in self.recipes.training_data(self.name):
            tables, corpus = self._tables(dataset), self.recipe.data[dataset].corpus
            if not (corpora[corpus].planned_size or any(map(_is_here, tables)) or self.local_files(corpus)):
                waiting = len(self.recipes.steps(self.name, dataset).behind_models)
                unknown.setdefault(f"corpora.{corpus}.size", []).extend(tables[waiting])
        left_out = {name: files for name, files in self._tested().items() if not _is_here(files)}
        tested = dict.fromkeys(path for files in left_out.values() for path in files)
        missing = [*(path for files in unknown.values() for path in files), *tested]
        make = f"snakemake --cores 1 {' '.join(missing)} --config {self.recipes.options(self.name)}"
        if unknown:
            size = "{rows: 20000, query_tokens: 10, positive_tokens: 90}"
            raise AscentError(
                f"{_first_of(missing)}: not here yet, but the plan reads it; say {_first_of(list(unknown))} in the"
                f" catalogue, a size like {size}, or make what is missing first, without a GPU: {make}"
            )
        if left_out:
            self.notes.append(f"Not counted: evaluation on {', '.join(left_out)}, whose rows are not here: {make}")

    def _tested(self) -> dict[str, list[str]]:
        """The files of the rows of each local task."""
        tasks = self.recipe.evaluate.tasks
        return {name: self.recipes.corpus_files(layout.CORPUS_PAIRS, task.corpus) for name, task in tasks.items()}

    def tasks(self) -> dict[str, LocalTask]:
        """Return the local tasks whose rows are here."""
        return {name: self.recipe.evaluate.tasks[name] for name, files in self._tested().items() if _is_here(files)}

    def rows(self, dataset: str) -> pl.DataFrame:
        """Return a data set's rows, from the table closest to training, or of many a sample; before there is one, a
        sample of rows as long as the catalogue says. Each stands for `times` rows."""
        return self._rows(dataset)[0]

    def times(self, dataset: str) -> float:
        """Return how many rows with texts of their own each of `rows` stands for."""
        return self._rows(dataset)[1]

    def repeats(self, dataset: str) -> float:
        """Return how often each of these rows occurs in the data set, in the mean, by its `repeat`."""
        return self._rows(dataset)[2]

    def _read_documents(self, corpus: str, split: str) -> tuple[pl.Series, float]:
        """Return a sample of a corpus's documents of a split, and how many documents each of them stands for; 0 if
        nothing is known of them."""
        files, known = self.recipes.corpus_files(layout.CORPUS_DOCUMENTS, corpus), self.recipes.config.corpora[corpus]
        if _is_here(files):
            total = count_rows([Path(file) for file in files], split=split)
            rows = (pl.scan_parquet(file).filter(pl.col("split") == split).select("text") for file in files)
            sample = pl.concat(rows).head(SAMPLE).collect(engine="streaming")["text"]
            return sample, total / len(sample) if len(sample) else 0.0
        if known.planned_size:
            text = (" the" * known.planned_size.positive_tokens)[: CHARACTERS * known.planned_size.positive_tokens]
            self.notes.append(f"Corpus {corpus}: as many documents as the catalogue says rows, as long as positives.")
            return pl.Series([text]), float(known.planned_size.rows)
        if self.local_files(corpus):
            found = self.local(corpus, split)
            documents = found.documents.filter(split=split)["text"]
            return documents.head(SAMPLE), found.times * max(1.0, len(documents) / SAMPLE)
        self.notes.append(f"Corpus {corpus}: is not retrieved and has no size, so its documents are not counted.")
        return pl.Series([], dtype=pl.String), 0.0

    def _read_rows(self, dataset: str) -> tuple[pl.DataFrame, float, float]:
        settings, tables = self.recipe.data[dataset], self._tables(dataset)
        table = next(filter(_is_here, tables), None)
        known = self.recipes.config.corpora[settings.corpus].planned_size
        if table is None and known:
            return self._sample(dataset, known)
        first = table == tables[0]  # which has the rows that are trained on, with those that augmentations added
        if table is None:
            rows, total, where = self._local_rows(dataset)
        else:
            rows, total = _rows_of(table, settings.split, settings.task, None if first else settings.rows)
            where = named(table)
        if not first:
            rows = with_positives(rows, settings)
        if rows.is_empty():
            raise AscentError(
                f"{where}: has no {settings.task} rows in the split '{settings.split}' for data set '{dataset}'."
            )
        times = total / len(rows)
        counted = f", of which {len(rows):,} were counted" if times > 1 else ""
        self.notes.append(f"Data set {dataset}: {total:,} rows of {where}{counted}.")
        if first:
            return rows, times, 1.0
        share = repeated_share(rows, settings.repeat, times) if settings.repeat else 0.0
        if share:
            self.notes.append(f"Data set {dataset}: {round(share * total):,} rows more, which `repeat` adds to these.")
        return rows, times * settings.growth, 1 + share

    def _find_local_files(self, corpus: str) -> dict[str, Path]:
        """Return a corpus's files of this machine by the names that its reader knows them by, if the plan can read
        them."""
        settings = self.recipes.config.corpora[corpus]
        if not isinstance(settings.source, Files):
            return {}
        files, tokenizer = files_by_name(self.recipes, "corpora", corpus), self._tokenizer_of_passages(corpus)
        return files if can_be_read(settings.reader, files) and (not tokenizer or tokenizer.exists()) else {}

    def _tokenizer_of_passages(self, corpus: str) -> Path | None:
        passages = self.recipes.config.corpora[corpus].passages
        if not passages:
            return None
        return self.model_folder(passages.model) if passages.model else passages.tokenizer and Path(passages.tokenizer)

    def _read_local(self, corpus: str, split: str) -> LocalRows:
        files, tokenizer = self.local_files(corpus), self._tokenizer_of_passages(corpus)
        return read_local(corpus, self.recipes.config.corpora[corpus], split, files, tokenizer)

    def _local_rows(self, dataset: str) -> tuple[pl.DataFrame, int, str]:
        """Return a data set's rows, or the first of them, how many there are in all, and where they are from."""
        settings = self.recipe.data[dataset]
        found, source = self.local(settings.corpus, settings.split), self.recipes.config.corpora[settings.corpus].source
        rows = found.pairs.filter(split=settings.split, task=settings.task)
        total = round(len(rows) * found.times)
        total = total if settings.rows is None else min(total, settings.rows)
        return rows.head(total), total, f"{', '.join(source.paths)}, before any filter"

    def _sample(self, dataset: str, size: Size) -> tuple[pl.DataFrame, float, float]:
        settings = self.recipe.data[dataset]
        total = min(settings.rows or size.rows, size.rows)

        def text(tokens: int, *numbers: int) -> str:  # each text is another one
            return (" ".join(map(str, numbers)) + " the" * tokens)[: CHARACTERS * tokens]

        sample = [
            Pair(
                text(size.query_tokens, row),
                text(size.positive_tokens, row),
                tuple(text(size.positive_tokens, row, negative) for negative in range(size.negatives)),
            )
            for row in range(min(total, SAMPLE))
        ]
        rows = with_positives(pair_frame(sample, dataset, "eng-Latn"), settings)
        self.notes.append(
            f"Data set {dataset}: {total:,} rows, as the catalogue says of {settings.corpus}, unfiltered."
        )
        if settings.repeat:
            self.notes.append(f"Data set {dataset}: rows that `repeat` adds are not counted before its corpus is read.")
        return rows, total / len(rows) * settings.growth, 1.0


def _rows_of(table: list[str], split: str, task: str, most: int | None) -> tuple[pl.DataFrame, int]:
    """Return the rows of a split and task, the first `most` if there is one: all, or of more than ROWS each so many-th;
    and how many there are. Read a batch at a time."""
    total = count_rows([Path(path) for path in table], split=split, task=task)
    total = total if most is None else min(total, most)
    every, seen, taken = max(1, -(-total // ROWS)), 0, []
    for path in table:
        for _, batch in pair_batches(path):
            rows = batch.filter(split=split, task=task).head(total - seen)
            taken.append(rows.gather_every(every, -seen % every))
            seen += len(rows)
    return pl.concat([pair_frame([], "", ""), *taken]), total


def _is_here(table: list[str]) -> bool:
    """Whether all files of a table are there."""
    return all(Path(path).exists() for path in table)


def _first_of(names: list[str]) -> str:
    """Return two names, and how many more there are: the command beside them has all."""
    more = f", and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{' and '.join(names[:2]) if not more else ', '.join(names[:2])}{more}"
