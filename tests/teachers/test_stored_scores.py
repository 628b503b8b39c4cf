"""Scores that a corpus brings along are those of its documents, past filters, in each batch."""

import json
import math

from ascent.pairs.table import write_pairs
from ascent.pairs.text import clean_text
from ascent.settings.corpora import Reading
from ascent.settings.pairs import Dataset
from ascent.tokens import tokenise as tokenised
from support.pairs import filtered, normalised


def test_scores_that_a_corpus_brings_along_reach_the_loss(
    corpus_rows, tiny_model, training_contract, data_of, tmp_path
):
    """From FlagEmbedding's JSON lines to a batch, past filters that drop rows and negatives: each document's score is
    the one that stands beside its text."""
    texts = [row["positive"] for row in corpus_rows]
    tokenizer, _ = tokenised.load_tokenizer(tiny_model, training_contract.max_tokens.longest)

    def ids(text):
        return tuple(tokenizer.encode(text).ids)

    lines, said = [], {}
    for i, row in enumerate(corpus_rows[:12]):
        line = {
            "query": f"<b>{row['query']}</b>",
            "pos": [row["positive"], texts[100 + i]],
            "neg": texts[50 + i : 53 + i],
        }
        line |= {"pos_scores": [i + 0.5, i + 0.25], "neg_scores": [-i, -i - 0.5, -i - 0.75]}
        for side in ("pos", "neg"):
            for text, score in zip(line[side], line[f"{side}_scores"], strict=True):
                said[ids("question: " + row["query"]), ids(clean_text(text))] = score
        line["neg"].insert(1, "<br>")
        line["neg_scores"].insert(1, 1000.0)
        lines += [line] * (1 + (i == 3))  # one comes twice
    lines[5] = lines[5] | {"query": "ö" * 3000}  # too long
    lines[7] = lines[7] | {"neg_scores": lines[7]["neg_scores"][:-1]}
    lines[9] = lines[9] | {"pos_scores": [9.0, math.nan]}
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    columns = {
        "positive": "pos",
        "negatives": ["neg"],
        "positive_scores": "pos_scores",
        "negative_scores": ["neg_scores"],
    }
    reading = Reading(reader={"pairs": {"train": ["*.jsonl"]}, "columns": columns}, language="eng-Latn")
    pairs, _, audit = normalised("web", reading, tmp_path)
    assert audit["set_aside"] == {"not one score per negative": 1, "positive's score is not a finite number": 1}
    filters = [{"clean": {"html": True}}, "empty", "length", "duplicate"]
    pairs, audit = filtered("taught", Dataset(corpus="web", filters=filters), [pairs])
    assert audit["dropped"] == {"the pair occurred before": 2, "query longer than 2000 characters": 2}
    path = tmp_path / "pairs.parquet"
    write_pairs(path, pairs)
    tokenised.tokenise_pairs(
        tiny_model, training_contract.tokenising("retrieval"), path, None, tmp_path / "tokens", scores=path
    )

    data = data_of({"taught": tmp_path / "tokens"}, objective="distill_kl", teacher={"type": "stored"})
    schedule, seen = data.schedule(), 0
    for step in range(len(schedule)):
        batch = data.batch(schedule[step], rank=0, world=1)
        queries, documents = batch.tokens[: batch.rows], batch.tokens[batch.rows :]
        pairs = zip(batch.row_of_document.tolist(), documents, strict=True)
        asked = [(tuple(queries[row]), tuple(text)) for row, text in pairs]
        assert batch.teacher_scores.tolist() == [said[both] for both in asked]
        seen += len(asked)
    assert seen == 9 * 2 * 4
