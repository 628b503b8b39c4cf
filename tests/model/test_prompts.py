"""Prompts: the same texts have the same embeddings in training, in mining, in evaluation and in the exported model."""

import numpy as np
import pytest
import torch
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer
from sklearn.metrics import ndcg_score
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ascent.errors import AscentError
from ascent.evaluation.local_tasks import Tables
from ascent.evaluation.model import EvaluatedModel
from ascent.evaluation.tasks import make_task
from ascent.files import read_json
from ascent.losses import Embedded
from ascent.model.batching import prompt_length, tokenise
from ascent.model.encoder import Encoder
from ascent.model.saving import save_new
from ascent.negatives.shards import encode_shard, open_shards
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, read_pairs, write_documents, write_pairs
from ascent.settings.contrastive import Contrastive
from ascent.settings.evaluation import TaskSettings
from ascent.settings.model import Contract
from ascent.settings.stages import StageSettings
from ascent.settings.validation import check
from ascent.tokens.table import TokenisedPairs
from ascent.tokens.tokenise import tokenise_pairs
from ascent.training.data import TrainingData, open_table
from ascent.training.objective import load_objectives
from support.tiny_models import make_architecture

# "what do" and "es it" are other tokens than "what does it" of a tokenizer by bytes.
PROMPTS = {
    "none": {},
    "query": {"query": {"default": "question: "}},
    "both": {"query": {"default": "what do"}, "document": {"default": "passage, to be found: "}},
    "task": {"query": {"retrieval": "find: ", "sts": "alike: "}, "document": {"retrieval": "what is found: "}},
}
TEXTS = [
    "es it open a file",
    "?",
    "open it",
    "read all lines of a text file and close it, whatever happens meanwhile, and so on",
]
LONG = "a prompt that is longer than the text may be, by far and further " * 3


@pytest.fixture(scope="module")
def resources(tiny_resource, corpus_rows, tmp_path_factory):
    """A BERT whose tokenizer puts special tokens round a text, and a causal Llama whose tokenizer by bytes knows
    none."""
    from tokenizers import ByteLevelBPETokenizer

    parent = tmp_path_factory.mktemp("resources")
    tokenizer = ByteLevelBPETokenizer()
    texts = [text for row in corpus_rows for text in (row["query"], row["positive"])]
    tokenizer.train_from_iterator(texts, vocab_size=1900, show_progress=False, special_tokens=["<pad>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, pad_token="<pad>", model_max_length=64)
    fast.save_pretrained(parent / "bytes")
    return {"bert": tiny_resource, "llama": make_architecture(parent / "llama", "llama", parent / "bytes")}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    tasks = ("retrieval", "sts")
    rows = [
        Pair(text, f"the answer to {text}", label=float(i % 2), task=t) for t in tasks for i, text in enumerate(TEXTS)
    ]
    write_pairs(path, pair_frame(rows, "questions", "eng-Latn"))
    pool = document_frame([Document(row.positive, "train") for row in rows])
    write_documents(path.with_name("documents.parquet"), pool)
    return path


def contract_of(kind: str, prompts: str, pooling: str, pool_prompt: bool) -> Contract:
    attention = "causal" if kind == "llama" else "bidirectional"
    return Contract(
        max_tokens=24, attention=attention, pooling=pooling, pool_prompt=pool_prompt, prompts=PROMPTS[prompts]
    )


def in_training(folder, contract, pairs, task, encoder, tmp_path) -> dict[str, np.ndarray]:
    tokenise_pairs(folder, contract.tokenising(task), pairs, None, tmp_path / f"tokens-{task}")
    stage = Contrastive(objective="cosent", data=["questions"])
    settings = StageSettings(recipe="r", name="s", stage=stage, contract=contract, tasks={"questions": task})
    table = open_table(
        tmp_path / f"tokens-{task}", settings, "questions", read_json(folder / "ascent.json")["tokenizer_digest"]
    )
    batch = TrainingData({"questions": table}, settings).batch(np.arange(len(table)), rank=0, world=1)
    with torch.inference_mode():
        found = encoder.model.embed(**encoder.model.inputs(batch.tokens, 0, "cpu", batch.prompt_lengths)).numpy()
    return {"query": found[: batch.rows], "document": found[batch.rows :]}


def in_mining(pairs, task, encoder, tmp_path) -> dict[str, np.ndarray]:
    encode_shard(encoder, pairs, encoder.contract.tokenising(task), 0, 1, tmp_path / f"shards-{task}")
    shards, table, found = open_shards(tmp_path / f"shards-{task}", 1), read_pairs(pairs), {}
    for side, name, column in (("query", "queries", "query_id"), ("document", "documents", "positive_id")):
        ((ids, rows),) = shards.parts(name)
        places = {id_.decode(): place for place, id_ in enumerate(ids)}
        found[side] = rows[[places[id_] for id_ in table[column]]]
    return found


def in_evaluation(pairs, task, encoder, texts) -> dict[str, np.ndarray]:
    settings = check(TaskSettings, {"name": "Toy", "task": {"type": task, "corpus": "toy", "split": "train"}}, "x")
    metadata = make_task(settings, Tables(pairs, pairs.with_name("documents.parquet"), folder=pairs.parent)).metadata
    model, found = EvaluatedModel(encoder, "ascent/toy"), {}
    options = {"task_metadata": metadata, "hf_split": "train", "hf_subset": "default"}
    for side, own in texts.items():
        given = PromptType(side) if task == "retrieval" else None  # as mteb's protocols do
        found[side] = model.encode([{"text": own}], **options, prompt_type=given)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize(
    ("kind", "pooling", "pool_prompt"),
    [
        (kind, pooling, whole)
        for kind in ("bert", "llama")
        for pooling in ("mean", "weighted_mean")
        for whole in (False, True)
    ],
)
def test_training_mining_evaluation_and_the_exported_model_agree(
    resources, pairs, tmp_path, prompts, kind, pooling, pool_prompt
):
    contract = contract_of(kind, prompts, pooling, pool_prompt)
    folder = tmp_path / "model"
    folder.mkdir()
    save_new(resources[kind], contract, {}, folder)
    encoder, plain = Encoder(folder, precision="float32"), SentenceTransformer(str(folder), device="cpu")
    table = read_pairs(pairs)
    texts = {"query": table["query"].to_list(), "document": table["positive"].to_list()}
    for task in ("retrieval", "sts"):
        found = [
            in_training(folder, contract, pairs, task, encoder, tmp_path),
            in_mining(pairs, task, encoder, tmp_path),
        ]
        found.append(in_evaluation(pairs, task, encoder, texts))
        for side, own in texts.items():
            name = side if task == "retrieval" else "STS"
            exported = plain.encode(own, **({"prompt_name": name} if name in plain.prompts else {"prompt": ""}))
            for embeddings in found:
                np.testing.assert_allclose(embeddings[side], exported, rtol=0, atol=1e-5)
            if contract.prompt(side, task):  # the prompt matters, and so does what is left out of the pooling
                other = Encoder(folder, precision="float32")
                other.contract = other.model.contract = contract.model_copy(update={"pool_prompt": not pool_prompt})
                assert np.abs(other.encode(own, side=side, task=task) - exported).max() > 1e-3
                assert np.abs(plain.encode(own, prompt="") - exported).max() > 1e-3


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("prompt", ["", "question: ", "what do", LONG])
def test_a_prompt_is_as_long_as_sentence_transformers_says(resources, tmp_path, kind, prompt):
    save_new(resources[kind], contract_of(kind, "none", "mean", False), {}, tmp_path)
    transformer, tokenizer = (
        SentenceTransformer(str(tmp_path), device="cpu")[0],
        AutoTokenizer.from_pretrained(tmp_path),
    )
    expected = transformer._get_prompt_length(prompt) if prompt else 0
    assert prompt_length(tokenizer, prompt, 24) == expected
    if kind == "llama" and prompt == "what do":  # so the case above says something
        alone, joined = (tokenise(tokenizer, [text], prompt, 24)[0].tolist() for text in ("", "es it"))
        assert joined[: len(alone)] != alone


def test_an_embedding_of_nothing_but_a_prompt_is_zero(resources, tmp_path):
    save_new(resources["llama"], contract_of("llama", "query", "mean", False), {}, tmp_path)
    plain = SentenceTransformer(str(tmp_path), device="cpu")
    found = Encoder(tmp_path, precision="float32").encode(["", "open it"], side="query", task="retrieval")
    np.testing.assert_allclose(found, plain.encode(["", "open it"], prompt="question: "), rtol=0, atol=1e-5)
    assert not found[0].any() and found[1].any()


def test_a_step_and_the_development_split_leave_prompts_out(
    resources, tokens_of, train_here, training_rows, data_of, corpus_rows, tmp_path
):
    contract = contract_of("bert", "both", "mean", False)
    parent = tmp_path / "parent"
    parent.mkdir()
    save_new(resources["bert"], contract, {}, parent)
    known = {row.query for row in training_rows}
    held = [Pair(row["query"], row["positive"]) for row in corpus_rows if row["query"] not in known][:30]
    tokens = tokens_of(training_rows, contract=contract)
    stage = {"batch_size": 44, "precision": "float32", "learning_rate": 1e-2, "dropout": 0}
    more = {"held": tokens_of(held, contract=contract)}
    (line,) = train_here(parent, contract, tokens=tokens, more=more, development={"data": "held"}, **stage)

    data, encoder = (
        data_of({"questions": tokens}, contract=contract, batch_size=44),
        Encoder(parent, precision="float32"),
    )
    batch = data.batch(data.schedule()[0], rank=0, world=1)

    def loss(prompt_lengths) -> float:
        with torch.no_grad():
            embeddings = encoder.model.embed(**encoder.model.inputs(batch.tokens, 0, "cpu", prompt_lengths))
        parts = {"queries": embeddings[: batch.rows], "documents": embeddings[batch.rows :]}
        objective = load_objectives(data.stage, contract)
        return float(objective(Embedded(**parts, **batch.tensors())).mean())

    assert line["loss"] == pytest.approx(loss(batch.prompt_lengths), abs=1e-5)
    assert abs(loss(batch.prompt_lengths) - loss(())) > 1e-3

    plain = SentenceTransformer(str(tmp_path / "run" / "model"), device="cpu")
    texts = list(dict.fromkeys(row.positive for row in held))
    scores = plain.encode_query([row.query for row in held]) @ plain.encode_document(texts).T
    relevant = np.array([[text == row.positive for text in texts] for row in held])
    assert line["development"] == pytest.approx(ndcg_score(relevant, scores, k=10), abs=1e-6)


def test_tokens_counted_for_another_pooling_are_refused(tokens_of, training_rows, data_of, training_contract):
    tokens = tokens_of(training_rows)
    with pytest.raises(
        AscentError, match="tokens made with pool_prompt = True, but the stage has False; remove the folder"
    ):
        data_of({"questions": tokens}, contract=training_contract.model_copy(update={"pool_prompt": False}))


@pytest.mark.slow
def test_lengths_are_by_side(tokens_of, training_rows, training_contract):
    prompts = {"query": {"default": ["what does "]}, "document": {"default": ["file "]}}
    for whole, expected in ((False, {"query": 3, "document": 2}), (True, {"query": 0, "document": 0})):
        contract = training_contract.model_copy(update={"prompts": prompts, "pool_prompt": whole})
        table = TokenisedPairs(tokens_of(training_rows, contract=contract))
        assert table.prompt_length(int(table.queries[-1])) == expected["query"]
        assert table.prompt_length(int(table.documents[0])) == expected["document"]


def test_a_text_of_which_nothing_is_pooled_is_refused(resources, tmp_path):
    """The tokenizer by bytes joins the prompt's last space with the word behind it, which is then counted as the
    prompt's."""
    contract = contract_of("llama", "query", "mean", False)
    (tmp_path / "model").mkdir()
    save_new(resources["llama"], contract, {}, tmp_path / "model")
    pairs = tmp_path / "pairs.parquet"
    write_pairs(pairs, pair_frame([Pair("open", "it")], "questions", "eng-Latn"))
    with pytest.raises(
        AscentError,
        match=r"pairs\.parquet: the prompt alone has as many tokens as 'question: open', .* pool_prompt: true",
    ):
        tokenise_pairs(tmp_path / "model", contract.tokenising("retrieval"), pairs, None, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_only_a_mean_leaves_prompts_out(pooling):
    with pytest.raises(AscentError, match=f"needs a mean, but pooling is {pooling}: set another pooling"):
        check(Contract, {"pooling": pooling, "pool_prompt": False}, "recipe")
