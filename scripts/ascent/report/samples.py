"""The page of a data set's samples: pairs that were kept, rows that each filter dropped, and where rows were set aside.

Rows are drawn by their ids (pairs/draws.py), so neither their order nor their parts change the page."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
from markupsafe import Markup, escape

from ..pairs.database import Database, listed
from ..pairs.draws import rank_in_sql
from ..settings.languages import COMMON
from .pages import pair_counts, read_audits, write_page

SEED = 0
# Pairs that are shown of those kept, rows of each reason of a filter, negatives of a row, characters of a text.
KEPT, DROPPED, NEGATIVES, CHARACTERS = 25, 6, 8, 3000
_COLUMNS = (
    "query, positive, negatives, query_id, positive_id, label, scores, query_prompt, document_prompt, language, origin"
)


@dataclass(frozen=True)
class Reason:
    """Why a filter dropped rows: how many they are, and some of them."""

    filter: str
    reason: str
    rows: int
    shown: list[dict]


def render_samples(
    audits: Sequence[Path], pairs: Sequence[Path], dropped: Sequence[Path], scores: Sequence[Path], output: Path
) -> None:
    """Write the page of one data set.

    audits: of all parts of the data set and of its corpus. pairs: the training pairs. dropped: what the filters of all
    passes dropped. scores: the teacher's, of the pairs as they were scored; none if no filter needs them."""
    found = read_audits(list(audits))
    (audit,), corpora = found["pairs"], found["corpus"]
    with Database(output.parent) as database:
        kept = kept_rows(database, pairs)
        reasons = dropped_rows(database, audit, dropped)
        shown = [*kept, *(row for reason in reasons for row in reason.shown)]
        _add_scores(database, shown, scores)
    write_page(
        "samples.html.j2",
        output,
        audit=audit,
        counts=pair_counts(audit),
        corpus=corpora[0] if corpora else None,
        kept=kept,
        reasons=reasons,
        visible=visible,
        tag=language_tag,
        most=NEGATIVES,
        seed=SEED,
    )


def kept_rows(database: duckdb.DuckDBPyConnection, pairs: Sequence[Path], most: int = KEPT) -> list[dict]:
    """Return some training pairs, the same whatever their order and parts, in the order in which they were drawn."""
    rows = f"read_parquet({listed(pairs)}, filename = true, file_row_number = true)"
    rank = rank_in_sql(SEED, "query_id", "positive_id")
    query = f"SELECT {_COLUMNS} FROM {rows} ORDER BY {rank}, filename, file_row_number LIMIT {most}"
    return _dicts(database, query)


def dropped_rows(
    database: duckdb.DuckDBPyConnection, audit: dict, dropped: Sequence[Path], most: int = DROPPED
) -> list[Reason]:
    """Return for each reason of each filter, in the filters' order, how many rows it dropped, and some of them, each
    pair of texts once."""
    pair = "filter, reason, query_id, positive_id"
    rows = (
        f"SELECT * FROM read_parquet({listed(dropped)}, filename = true, file_row_number = true)"
        " WHERE filter <> 'select'"
        f" QUALIFY row_number() OVER (PARTITION BY {pair} ORDER BY filename, file_row_number) = 1"
    )
    rank = rank_in_sql(SEED, "filter", "reason", "query_id", "positive_id")
    place = f"row_number() OVER (PARTITION BY filter, reason ORDER BY {rank})"
    query = (
        f"SELECT filter, reason, {_COLUMNS} FROM ({rows}) QUALIFY {place} <= {most} ORDER BY filter, reason, {place}"
    )
    shown: dict[tuple[str, str], list[dict]] = {}
    for row in _dicts(database, query):
        shown.setdefault((row.pop("filter"), row.pop("reason")), []).append(row)
    return [
        Reason(step["filter"], reason, count, shown.get((step["filter"], reason), []))
        for step in audit["filters"][1:]
        for reason, count in sorted(step["dropped"].items(), key=lambda item: (-item[1], item[0]))
    ]


def _add_scores(database: duckdb.DuckDBPyConnection, rows: list[dict], scores: Sequence[Path]) -> None:
    """Give each row the teacher's score of its pair, as `score`: None for rows that were not scored."""
    found = {}
    if scores and rows:
        ids = pl.DataFrame({key: [row[key] for row in rows] for key in ("query_id", "positive_id")}).unique()
        database.register("shown", ids.to_arrow())
        query = (
            f"SELECT query_id, positive_id, min(score) FROM read_parquet({listed(scores)})"
            " SEMI JOIN shown USING (query_id, positive_id) GROUP BY ALL"
        )
        found = {(query_id, positive_id): score for query_id, positive_id, score in database.execute(query).fetchall()}
    for row in rows:
        row["score"] = found.get((row["query_id"], row["positive_id"]))


def _dicts(database: duckdb.DuckDBPyConnection, query: str) -> list[dict]:
    return pl.from_arrow(database.sql(query).to_arrow_table()).to_dicts()


# Characters that are not seen, or are seen as something else: breaks, tabs, controls, spaces of other widths.
_UNSEEN = re.compile(
    r"\r\n|[\n\r\t\u2028\u2029]|[^\S \n\r\t]|[\u0000-\u001f\u007f-\u009f\u00ad]|[\u200b-\u200f]"
    r"|[\u202a-\u202e]|[\u2060-\u2069]|\ufeff|\ufffd|[\ue000-\uf8ff]|^ +| +$|  +"
)
_BREAKS = {"\n": "↵", "\r\n": "↵", "\r": "␍", "\u2028": "↵", "\u2029": "¶"}
# Joiners shape scripts and emoji: they belong to what is seen.
_JOINERS = "\u200c\u200d"


def visible(text: str, most: int = CHARACTERS) -> Markup:
    """Return a text as HTML: escaped, its first `most` characters, with marks for what would not be seen (line breaks,
    tabs, controls, odd spaces, spaces at its ends and in a row)."""
    shown = text[:most]
    pieces, end = [], 0
    for found in _UNSEEN.finditer(shown):
        pieces += [escape(shown[end : found.start()]), _mark(found[0])]
        end = found.end()
    pieces.append(escape(shown[end:]))
    if len(text) > most:
        pieces.append(Markup('<span class="cut">… {:,} more characters</span>').format(len(text) - most))
    return Markup("").join(pieces)


def _mark(unseen: str) -> Markup:
    if unseen in _BREAKS:
        return Markup('<span class="mark" title="line break">{}</span>\n').format(_BREAKS[unseen])
    if unseen == "\t":
        return Markup('<span class="mark" title="tab">⇥</span>\t')
    if unseen.strip(" ") == "":
        return Markup('<span class="mark" title="space">{}</span>').format("␣" * len(unseen))
    if unseen in _JOINERS:
        return Markup(unseen)
    name = unicodedata.name(unseen, "control character").lower()
    return Markup('<span class="mark" title="{}">U+{:04X}</span>').format(name, ord(unseen))


def language_tag(language: str) -> str:
    """Return a corpus's language as HTML names it (BCP 47): `zh-Hans` of `zho-Hans`, `en` of `eng-Latn`; nothing for a
    programming language."""
    code, _, script = language.partition("-")
    if script == "Code":
        return ""
    short = {three.split("-")[0]: two for two, three in COMMON.items()}.get(code, code)
    is_usual = COMMON.get(short) == language and short not in ("zh", "sr")
    return short if is_usual else f"{short}-{script}"
