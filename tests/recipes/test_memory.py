import json

import pytest

from ascent.pairs.table import Pair, pair_frame, write_pairs
from ascent.recipes.memory import memory_mb, mining_mb

# Of each side a shard has embeddings and ids.
ENDS = (".npy", ".ids.npy")


def test_a_job_asks_for_as_much_as_its_models_need(tmp_path):
    """Qwen3-8B in float32, as training writes it: 30 GB and more, which the least request does not hold."""
    for name, parts in (("small", [90e6]), ("large", [16e9, 16.8e9])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        for number, size in enumerate(parts):
            with (tmp_path / name / f"model-{number}.safetensors").open("wb") as file:
                file.truncate(int(size))  # takes no room on the disk
    small, large = str(tmp_path / "small"), str(tmp_path / "large")
    assert memory_mb([small], first=32_000, copies=2) == 32_000
    assert memory_mb([large], first=32_000, copies=2) == 8_000 + 65_600
    assert memory_mb([large, large], first=32_000, copies=2) == 8_000 + 131_200


def test_a_model_that_is_not_made_yet_is_asked_for_later(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        memory_mb([str(tmp_path / "model")], first=1, copies=1)
    assert error.value.filename == str(tmp_path / "model")  # by which Snakemake knows that it is an input


def test_mining_asks_for_its_documents_and_pairs(tmp_path):
    """64 bytes for each of 240 million documents, of which 40 million are a pool's, and 108 for each of two pairs."""

    def shard(name: str, **rows: int) -> str:
        files = {f"{side}-00000-of-00001{end}": {"rows": count} for side, count in rows.items() for end in ENDS}
        (tmp_path / name).write_text(json.dumps({"weights_digest": "a"} | files))
        return str(tmp_path / name)

    shards = [shard(f"{index}.json", queries=900_000_000, documents=100_000_000) for index in range(2)]
    pool, small = shard("pool.json", documents=40_000_000), shard("small.json", queries=2, documents=2)
    pairs = [tmp_path / f"{part}.parquet" for part in range(2)]
    for part, path in enumerate(pairs):
        write_pairs(path, pair_frame([Pair(f"query {part}", "an answer")], "x", "eng-Latn"))
    assert mining_mb([*shards, pool], pairs, first=16_000) == 8_000 + 15_360
    assert mining_mb([small], pairs, first=16_000) == 16_000
    for missing in ([str(tmp_path / "none")], pairs), ([small], [*pairs, str(tmp_path / "none")]):
        with pytest.raises(FileNotFoundError) as error:
            mining_mb(*missing, first=16_000)
        assert error.value.filename == str(tmp_path / "none")
