"""The command that filters a part."""

import json
import subprocess
from pathlib import Path

import polars as pl
import yaml

from ascent.pairs.table import Pair, pair_frame, read_pairs, write_pairs

SCRIPTS = Path(__file__).parents[2] / "scripts"
SCORE = {"score": {"teacher": {"model": "minilm"}, "min": 0.4}}


def test_the_commands(tmp_path, warm_python):
    def run(script, **options):
        arguments = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", value)]
        return subprocess.run([warm_python, SCRIPTS / script, *arguments], cwd=tmp_path, capture_output=True, text=True)

    write_pairs(
        tmp_path / "corpus.parquet",
        pair_frame([Pair("a", "1"), Pair("b", "2"), Pair("A?", "3", split="test")], "insurance", "eng-Latn"),
    )
    filters = ["clean", "empty", {"contamination": {"against": ["insurance"]}}]
    first = {"select": {"corpus": "insurance"}, "positive": "given", "filters": filters}
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    (tmp_path / "second.yaml").write_text(yaml.safe_dump({"positive": "given", "filters": [SCORE]}))
    given = {"name": "faq", "settings": "first.yaml", "rows": "corpus.parquet", "against": "corpus.parquet"}
    made = run("filter_pairs.py", **given, output="prepared.parquet", audit="prepared.json", dropped="dropped.parquet")
    assert made.returncode == 0, made.stderr
    pairs = read_pairs(tmp_path / "prepared.parquet")
    assert pairs["query"].to_list() == ["b"]
    told = pl.read_parquet(tmp_path / "dropped.parquet").select("filter", "reason", "query").rows()
    assert told == [
        ("select", "split is test, not train", "A?"),
        ("contamination", "the query is a test query", "a"),
    ]

    scored = pairs.select("query_id", "positive_id").with_columns(score=pl.lit(0.6, pl.Float32))
    given = {"name": "faq", "settings": "second.yaml", "rows": "prepared.parquet", "audit_before": "prepared.json"}
    given |= {
        "measured": "scores.parquet",
        "output": "pairs.parquet",
        "audit": "audit.json",
        "dropped": "dropped.parquet",
    }
    scored.write_parquet(tmp_path / "scores.parquet")
    made = run("filter_pairs.py", **given)
    assert made.returncode == 0, made.stderr
    assert read_pairs(tmp_path / "pairs.parquet").equals(pairs)
    assert json.loads((tmp_path / "audit.json").read_text())["filters"][-1]["kept"] == 1

    made = run("filter_pairs.py", **{key: value for key, value in given.items() if key != "measured"})
    assert made.returncode == 1
    assert made.stderr == (
        "error: data set faq: its filters judge by scores; give --measured what they judge by, and nothing else.\n"
    )

    scored.drop("score").write_parquet(tmp_path / "scores.parquet")
    made = run("filter_pairs.py", **given)
    assert made.returncode == 1
    assert made.stderr.startswith("error: scores.parquet: column 'score' is missing")
