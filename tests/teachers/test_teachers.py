"""A teacher's scores are those of sentence-transformers, reach the rows that they are for, and are refused for any
other."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from sentence_transformers import CrossEncoder as Reference
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from ascent.errors import AscentError
from ascent.model import encoder
from ascent.pairs.table import Pair, pair_frame, read_pairs, write_pairs
from ascent.settings.teachers import BiEncoderTeacher, CrossEncoderTeacher, Teaching
from ascent.settings.validation import dump
from ascent.teachers import cross_encoder
from ascent.teachers.candidates import candidates
from ascent.teachers.cross_encoder import CrossEncoder
from ascent.teachers.outputs import embeddings_file, read_scores, write_scores, writing_embeddings
from ascent.teachers.scoring import embed_with_teacher, score_with_teacher
from ascent.tokens import tokenise as tokenised
from ascent.tokens.table import TokenisedPairs
from support.small_recipe import make_model

TEACHER = {"model": "t", "type": "cross-encoder", "max_tokens": 48}


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A cross-encoder of random weights."""
    return make_model(tmp_path_factory.mktemp("judge") / "judge", labels=1)


@pytest.fixture(scope="module")
def pairs(corpus_rows, tmp_path_factory):
    """40 rows with 0 to 3 negatives; two queries are asked twice, with the same negatives."""
    texts = [row["positive"] for row in corpus_rows]
    rows = [
        Pair(row["query"], row["positive"], tuple(texts[50 + i : 50 + i + i % 4]))
        for i, row in enumerate(corpus_rows[:38])
    ]
    rows += [Pair(rows[i].query, texts[100 + i], rows[i].negatives) for i in (2, 3)]
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_pairs(path, pair_frame(rows, "questions", "eng-Latn"))
    return path


@pytest.fixture(scope="module")
def rows(pairs):
    return read_pairs(pairs)


@pytest.fixture(scope="module")
def asked(rows):
    """Query and document of each candidate, by a loop."""
    return [
        [row["query"], document]
        for row in rows.iter_rows(named=True)
        for document in (row["positive"], *row["negatives"])
    ]


@pytest.fixture
def scored(rows, asked, tmp_path):
    """A table of scores that differ."""
    scores = np.linspace(-8, 9, len(asked), dtype=np.float32)
    write_scores(tmp_path / "scores.parquet", [rows], [scores])
    return tmp_path / "scores.parquet", scores


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_a_cross_encoder_s_scores_are_sentence_transformers_logits(architecture, asked, tmp_path):
    folder = make_model(tmp_path / "judge", architecture, labels=1)
    reference = Reference(str(folder), max_length=48, device="cpu")
    # Without a padding token of its configuration, a decoder takes one text at a time there.
    expected = reference.predict(
        asked, activation_fn=torch.nn.Identity(), batch_size=7 if architecture == "bert" else 1
    )
    found = CrossEncoder(folder, max_tokens=48, precision="float32", tokens_per_batch=300).score(
        *zip(*asked, strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    lengths = [len(ids) for ids in reference.tokenizer(*map(list, zip(*asked, strict=True)))["input_ids"]]
    assert min(lengths) < 48 < max(lengths)  # some are cut
    assert np.ptp(found) > 1e-2


def test_candidates_are_scored_by_a_cross_encoder(judge, rows, pairs, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(cross_encoder, "precision_dtype", lambda *_: None)
    teaching = Teaching(teacher=CrossEncoderTeacher(**TEACHER), task="retrieval")
    expected = Reference(str(judge), max_length=48, device="cpu").predict(asked, activation_fn=torch.nn.Identity())
    told = score_with_teacher(teaching, judge, pairs, None, tmp_path / "scores.parquet")
    (found,) = read_scores(tmp_path / "scores.parquet", [rows])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert (told.rows, told.scores, told.least, told.greatest) == (40, len(asked), found.min(), found.max())


def test_candidates_are_scored_by_a_bi_encoder(tiny_resource, rows, pairs, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "precision_dtype", lambda *_: None)
    prompts = {"query": {"retrieval": "question: "}, "document": {"default": "passage: "}}
    teacher = BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32, prompts=prompts)
    teaching = Teaching(teacher=teacher, task="retrieval")
    score_with_teacher(teaching, tiny_resource, pairs, None, tmp_path / "scores.parquet")
    (found,) = read_scores(tmp_path / "scores.parquet", [rows])
    reference = SentenceTransformer(str(tiny_resource), device="cpu")
    reference.max_seq_length = 32
    queries = reference.encode([query for query, _ in asked], prompt="question: ")
    documents = reference.encode([document for _, document in asked], prompt="passage: ")
    expected = reference.similarity_pairwise(queries, documents).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.ptp(found) > 1e-2


@pytest.mark.parametrize(("pooling", "layer"), [("mean", True), ("cls", False)])
def test_a_bi_encoder_that_would_be_another_model_is_refused(tiny_resource, pairs, tmp_path, pooling, layer):
    """With a layer of its own that no head is, or made with another pooling than the recipe's."""
    transformer = Transformer(str(tiny_resource))
    width = transformer.get_embedding_dimension()
    modules = [transformer, Pooling(width, pooling), *([Dense(width, 8)] if layer else [])]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "teacher"))
    teaching = Teaching(teacher=BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32), task="retrieval")
    message = (
        r"modules\.json: the model has a layer \(2_Dense\)"
        if layer
        else "pools by cls, but the recipe's teacher by mean"
    )
    with pytest.raises(AscentError, match=message):
        score_with_teacher(teaching, tmp_path / "teacher", pairs, None, tmp_path / "scores.parquet")


@pytest.mark.parametrize(
    ("labels", "max_tokens", "message"),
    [
        (
            None,
            48,
            r"judge: has no weights for classifier\.bias and 1 more of transformers' BertForSequenceClassification",
        ),
        (2, 48, r"judge: gives 2 logits, but a score is one; use another teacher"),
        (1, 65, r"judge: takes at most 64 tokens, but max_tokens is 65; write at most max_tokens: 64 "),
    ],
)
def test_what_is_no_cross_encoder_is_refused(labels, max_tokens, message, tmp_path):
    folder = make_model(tmp_path / "judge", labels=labels)
    with pytest.raises(AscentError, match=message):
        CrossEncoder(folder, max_tokens=max_tokens)
    (folder / "config.json").unlink()
    with pytest.raises(AscentError, match=r"judge: holds no config\.json"):
        CrossEncoder(folder, max_tokens=max_tokens)


@pytest.mark.slow
def test_a_teacher_s_embeddings_are_those_of_its_texts_in_the_tokens(
    tiny_resource, rows, pairs, training_rows, tokens_of, data_of, tmp_path, monkeypatch
):
    """As sentence-transformers has them, to float16; and in the batches of a stage in which one of two data sets learns
    them."""
    monkeypatch.setattr(encoder, "precision_dtype", lambda *_: None)
    prompts = {"query": {"retrieval": "question: "}, "document": {"default": "passage: "}}
    teacher = BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32, prompts=prompts)
    teaching = Teaching(teacher=teacher, task="retrieval")
    embed_with_teacher(teaching, tiny_resource, pairs, None, tmp_path / "embeddings")
    table = TokenisedPairs(tokens_of(pairs, embeddings=tmp_path / "embeddings"))

    reference = SentenceTransformer(str(tiny_resource), device="cpu")
    reference.max_seq_length = 32
    encode = partial(reference.encode, normalize_embeddings=True)
    for index, row in enumerate(rows.iter_rows(named=True)):
        texts = [row["query"]], [row["positive"], *row["negatives"]]
        expected = [
            encode(part, prompt=prompt) for part, prompt in zip(texts, ("question: ", "passage: "), strict=True)
        ]
        found = table.teacher_embeddings[[int(table.queries[index]), *table.documents_of(index)]]
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=5e-4)

    folders = {"taught": table.folder, "others": tokens_of(training_rows)}
    use = {"taught": {"objective": "embedding_mse"}, "others": {}}
    data = data_of(folders, data=use, teacher=teacher.model_dump())
    schedule = data.schedule()
    for step in range(len(schedule)):
        batch = data.batch(schedule[step], rank=1, world=2)
        assert batch.teacher_queries.dtype == batch.teacher_documents.dtype == torch.float32
        for row, place in enumerate(schedule[step][batch.numbers].tolist()):
            parts = batch.teacher_queries[row : row + 1], batch.teacher_documents[batch.row_of_document == row]
            if place >= len(rows):
                assert all(part.isnan().all() for part in parts)
            else:
                places = [int(table.queries[place]), *table.documents_of(place)]
                assert torch.cat(parts).tolist() == table.teacher_embeddings[places].astype(np.float32).tolist()


def test_embeddings_of_other_rows_or_damaged_ones_are_refused(pairs, training_pairs, tmp_path):
    folder = tmp_path / "embeddings"
    with writing_embeddings(folder, pairs, None) as file:
        np.save(file, np.zeros((3, 2)))
    assert embeddings_file(folder, pairs, None).exists()
    for files in ((training_pairs, None), (pairs, training_pairs)):
        with pytest.raises(AscentError, match=r"embeddings: is damaged, or was made for other pairs or negatives"):
            embeddings_file(folder, *files)
    (folder / "embeddings.npy").write_bytes((folder / "embeddings.npy").read_bytes()[:-1])
    with pytest.raises(AscentError, match=r"embeddings: is damaged, or was made for other pairs or negatives"):
        embeddings_file(folder, pairs, None)


def test_embeddings_too_large_to_keep_are_refused(tiny_resource, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(
        encoder.Encoder, "encode", lambda self, texts, **_: np.full((len(texts), 2), 1e5, dtype=np.float32)
    )
    teaching = Teaching(teacher=BiEncoderTeacher(model="t", type="bi-encoder", max_tokens=32), task="retrieval")
    with pytest.raises(
        AscentError, match=r"tiny: an embedding has a number above 65,504; set the teacher's normalise: true"
    ):
        embed_with_teacher(teaching, tiny_resource, pairs, None, tmp_path / "embeddings")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the table


def test_a_table_gives_back_the_scores_of_its_rows(rows, asked, scored):
    path, scores = scored
    assert [list(row) for row in candidates(rows).iter_rows()] == asked
    found = np.concatenate(list(read_scores(path, [rows[:7], rows[7:8], rows[8:]])))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, scores)


def test_scores_of_other_rows_are_refused(rows, scored):
    path, _ = scored
    other = pl.col("negatives").list.reverse()
    assert not rows.with_columns(other).equals(rows)
    for others in (rows[:-1], rows[::-1], rows.with_columns(other), pl.concat([rows, rows[:1]])):
        with pytest.raises(AscentError, match=r"scores\.parquet: was made for other pairs or negatives than"):
            list(read_scores(path, [others]))


@pytest.mark.parametrize("wrong", [[0.0], [0.0, math.nan], [0.0, math.inf], [0.0, None]])
def test_a_score_that_is_missing_or_not_finite_is_refused(rows, tmp_path, wrong):
    row = rows.filter(pl.col("negatives").list.len() == 1)[:1]
    write_scores(tmp_path / "scores.parquet", [row], [np.array([0.0, 1.0], dtype=np.float32)])
    changed = pl.read_parquet(tmp_path / "scores.parquet").with_columns(
        scores=pl.Series([wrong], dtype=pl.List(pl.Float32))
    )
    changed.write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(
        AscentError, match=r"scores\.parquet: a candidate's score is missing or not finite; score them again"
    ):
        list(read_scores(tmp_path / "scores.parquet", [row]))


# ---------------------------------------------------------------- on its way to the loss


def test_a_batch_has_the_scores_of_its_documents(rows, pairs, scored, training_rows, tokens_of, data_of):
    """Of a stage in which one of two data sets learns from the teacher."""
    path, scores = scored
    folders = {"taught": tokens_of(pairs, scores=path), "others": tokens_of(training_rows)}
    use = {"taught": {"objective": "margin_mse"}, "others": {}}
    data = data_of(folders, data=use, teacher=TEACHER)
    counts = (rows["negatives"].list.len() + 1).to_list()
    own = np.split(scores, np.cumsum(counts)[:-1])
    schedule, seen = data.schedule(), set()
    for step in range(len(schedule)):
        for rank in range(2):
            batch = data.batch(schedule[step], rank=rank, world=2)
            places = schedule[step][batch.numbers].tolist()
            assert batch.teacher_scores.dtype == torch.float32
            for row, place in enumerate(places):
                found = batch.teacher_scores[batch.row_of_document == row].tolist()
                assert found == own[place].tolist() if place < len(own) else np.isnan(found).all()
                seen.add(place < len(own))
    assert seen == {True, False}


@pytest.mark.parametrize("mined", [False, True])
def test_rows_that_have_no_stored_scores_are_refused(
    pairs, training_rows, tiny_model, training_contract, tmp_path, mined
):
    path, negatives = pairs, None
    if mined:
        path, negatives = tmp_path / "pairs.parquet", tmp_path / "negatives.parquet"
        rows = pair_frame([replace(row, scores=(1.0, 0.0)) for row in training_rows], "x", "eng-Latn")
        write_pairs(path, rows)
        rows.select("query_id", "positive_id", "negatives").write_parquet(negatives)
    tokenising, output = training_contract.tokenising("retrieval"), tmp_path / "tokens"
    with pytest.raises(AscentError, match=r"pairs\.parquet: 4(0 of 40|4 of 44) rows have no stored scores"):
        tokenised.tokenise_pairs(tiny_model, tokenising, path, negatives, output, scores=path)
    assert not output.exists()


def test_tokens_without_scores_are_what_they_were(pairs, scored, tokens_of, training_rows, data_of):
    path, _ = scored
    plain, taught = TokenisedPairs(tokens_of(pairs)), TokenisedPairs(tokens_of(pairs, scores=path))
    assert set(taught.meta) - set(plain.meta) == {"teacher_scores"}
    assert set(taught.meta["files"]) - set(plain.meta["files"]) == {"teacher_scores.npy"}
    for name in plain.meta["files"]:
        assert (plain.folder / name).read_bytes() == (taught.folder / name).read_bytes(), name
    assert plain.teacher_scores is None
    assert data_of({"a": plain.folder}).batch(np.arange(4), rank=0, world=1).teacher_scores is None
    with pytest.raises(AscentError, match=r"data\.a: .* has no teacher scores, which the objective 'distill_kl' needs"):
        data_of({"a": plain.folder}, objective="distill_kl", teacher=TEACHER)


def test_rows_without_negatives_teach_no_margin(training_rows, tokens_of, data_of, tmp_path):
    write_pairs(
        tmp_path / "pairs.parquet", pair_frame([Pair(r.query, r.positive) for r in training_rows], "q", "eng-Latn")
    )
    table = read_pairs(tmp_path / "pairs.parquet")
    write_scores(tmp_path / "scores.parquet", [table], [np.zeros(len(table), dtype=np.float32)])
    folder = tokens_of(tmp_path / "pairs.parquet", scores=tmp_path / "scores.parquet")
    with pytest.raises(
        AscentError, match=r"data\.a: has no negatives of its own, which the objective 'margin_mse' needs"
    ):
        data_of({"a": folder}, objective="margin_mse", teacher=TEACHER)


def test_rows_without_negatives_are_not_scored(training_rows, judge, tmp_path, monkeypatch, capsys):
    """Which would take hours to teach nothing."""
    import score_with_teacher as script

    write_pairs(
        tmp_path / "pairs.parquet", pair_frame([Pair(r.query, r.positive) for r in training_rows], "q", "eng-Latn")
    )
    (tmp_path / "teaching.yaml").write_text(dump(Teaching(teacher=CrossEncoderTeacher(**TEACHER), task="retrieval")))
    files = {"settings": tmp_path / "teaching.yaml", "teacher": judge, "pairs": tmp_path / "pairs.parquet"}
    arguments = [str(part) for name, file in files.items() for part in (f"--{name}", file)]
    monkeypatch.setattr("sys.argv", ["score_with_teacher.py", *arguments, "--output", str(tmp_path / "scores.parquet")])
    assert script.main() == 1
    assert (
        "pairs.parquet: no row has a negative, and a teacher's scores of positives alone teach"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "scores.parquet").exists()


def test_a_teacher_of_another_dimension_is_refused(
    tiny_model, training_contract, training_rows, training_pairs, tokens_of, train_here, tmp_path
):
    table = read_pairs(training_pairs)
    texts = len(set(table["query"])) + len(set(candidates(table)["document"]))
    with writing_embeddings(tmp_path / "embeddings", training_pairs, None) as file:
        np.save(file, np.zeros((texts, 8), dtype=np.float16))
    tokens = tokens_of(training_pairs, embeddings=tmp_path / "embeddings")
    asked = {"objective": "embedding_mse", "teacher": {"model": "t", "type": "bi-encoder"}}
    with pytest.raises(
        AscentError, match=r"stages\.s\.data\.questions: the teacher's embeddings have 8 dimensions, the model's"
    ):
        train_here(tiny_model, training_contract, tokens=tokens, **asked)
