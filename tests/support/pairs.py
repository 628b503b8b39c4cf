"""Corpora and data sets made in memory for a test, by what the workflow's steps call."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ascent.corpora.normalise import normalise
from ascent.pairs.filtering import check_audit, check_rows_are_left, filter_pairs, whole_audit
from ascent.pairs.signing import sign_pairs
from ascent.pairs.table import count_pairs, pair_frame, read_documents, read_pairs, write_pairs
from ascent.recipes.dataset_steps import dataset_steps
from ascent.settings.corpora import Reading
from ascent.settings.measures import Measure, Signing
from ascent.settings.pairs import Dataset


def normalised(name: str, corpus: Reading, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, dict]:
    """Return a corpus's pairs, documents and audit."""
    with TemporaryDirectory() as written:
        pairs, documents, aside = (Path(written) / f"{kind}.parquet" for kind in ("pairs", "documents", "aside"))
        audit = normalise(name, corpus, Path(folder), pairs, documents, aside)
        found = read_pairs(pairs) if count_pairs(pairs) else pair_frame([], "", "")
        return found, read_documents(documents), audit


def write_in_parts(folder: Path, frame: pl.DataFrame, *ends: int) -> list[Path]:
    """Write the rows up to each of these numbers to a file of its own."""
    files = [folder / f"{number}.parquet" for number in range(len(ends))]
    for file, begin, end in zip(files, (0, *ends), ends, strict=False):
        write_pairs(file, frame[begin:end])
    return files


def filtered(
    name: str,
    dataset: Dataset,
    parts: Sequence[pl.DataFrame],
    against: Sequence[pl.DataFrame] = (),
    scores: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    models: Sequence[Path] = (),
) -> tuple[pl.DataFrame, dict]:
    """Return the rows of a corpus's parts that pass a data set's filters, and the audit. scores: those of rows."""
    with TemporaryDirectory() as written:
        folder, audits = Path(written), [None] * len(parts)
        files, tested = [folder / f"corpus-{i}.parquet" for i in range(len(parts))], []
        for path, frame in zip(files, parts, strict=True):
            write_pairs(path, frame)
        for number, frame in enumerate(against):
            tested.append(folder / f"tested-{number}.parquet")
            write_pairs(tested[-1], frame)
        for step in dataset_steps(name, dataset).passes:
            made = [folder / f"{step.key}-{i}.parquet" for i in range(len(parts))]
            for i, output in enumerate(made):
                read, measured = step.settings.read_for(i, files), []
                for path in read if step.measuring else ():
                    measured.append(folder / f"measured-{path.name}")
                    _measure(step.measuring.settings, path, measured[-1], scores)
                rows = (read, output, folder / "dropped.parquet")
                audits[i] = filter_pairs(
                    name,
                    step.settings,
                    *rows,
                    audit=audits[i],
                    measured=measured,
                    against=tested,
                    models=models,
                    place=i if step.settings.looks_everywhere else -1,
                )
                check_audit(audits[i], count_pairs(output))
            files = made
        audit = whole_audit(audits)
        check_rows_are_left(audit)
        return read_pairs(files), audit


def _measure(measure: Measure, rows: Path, output: Path, scores: Callable[[pl.DataFrame], pl.DataFrame] | None) -> None:
    if isinstance(measure, Signing):
        sign_pairs(measure, rows, output)
    else:
        scores(pl.read_parquet(rows)).write_parquet(output)
