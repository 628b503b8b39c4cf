"""Mined negatives in the order of their rows, out of memory."""

from pathlib import Path

from ..errors import AscentError
from ..pairs.database import Database, numbered, quoted
from ..pairs.parquet import BATCH, Table, files_of, named, read_metadata


def in_order_of(pairs: Table, negatives: Path, folder: Path) -> Path:
    """Return a file with the negatives of each row of the pairs, in the pairs' order: the table itself if it has that,
    which mining writes where no pair comes twice, else one made in `folder`.

    Raises AscentError if they were mined for other pairs.
    """
    keys = "query_id, positive_id"
    there = read_metadata(negatives).schema.to_arrow_schema().names
    with Database(folder) as database:
        database.execute(f"CREATE VIEW own AS {numbered(files_of(pairs), keys)}")
        database.execute(f"CREATE VIEW mined AS {numbered([negatives], '*')}")
        database.execute(
            f"CREATE TABLE pairing AS SELECT own.row AS place, mined.row AS row FROM own JOIN mined USING ({keys})"
        )

        def count(what: str) -> int:
            return database.execute(f"SELECT count(*) FROM {what}").fetchall()[0][0]

        others = count("mined WHERE negatives IS NULL") or count("pairing") != count("own")
        if others or count("mined") != count(f"(SELECT DISTINCT {keys} FROM own)"):
            raise AscentError(f"{negatives}: was mined for other pairs than {named(pairs)}; mine again.")
        if not count("pairing WHERE place != row"):
            return negatives
        made = folder / "negatives.parquet"
        texts = ", ".join(name for name in ("negatives", "reserve") if name in there)
        ordered = f"SELECT {texts} FROM pairing JOIN mined USING (row) ORDER BY place"
        database.execute(f"COPY ({ordered}) TO {quoted(made)} (FORMAT parquet, ROW_GROUP_SIZE {BATCH})")
        return made
