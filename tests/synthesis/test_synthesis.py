"""Rows from a server: every fault ends in a row or in one set aside with its reason, and nothing is asked twice."""

import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest

from ascent.errors import AscentError
from ascent.files import read_json
from ascent.pairs.table import Document, Pair, document_frame, pair_frame, write_documents, write_pairs
from ascent.recipes.synthesis import read_prompt
from ascent.settings.corpora import Reading
from ascent.settings.recipe import Config
from ascent.settings.synthesis import Openai, Synthesis, SynthesisSettings
from ascent.settings.validation import check
from ascent.synthesis.backends.openai import Openai as Backend
from ascent.synthesis.run import synthesise
from support.chat_server import ChatServer, made
from support.pairs import normalised

KEY = "sk-a-key-that-is-nowhere-7391"
TEXTS = [f"Document {number} says that number {number} follows number {number - 1}." for number in range(30)]


@pytest.fixture
def documents(tmp_path):
    path = tmp_path / "documents.parquet"
    write_documents(
        path, document_frame([*(Document(text, "train") for text in TEXTS), Document("of another split", "test")])
    )
    return path


@pytest.fixture
def ask(tmp_path, documents):
    """Have rows written by a server; return the counts, the rows and those set aside."""

    def _ask(server, *, rows=12, seed=0, prompt="queries", table=documents, to="made", **changes):
        settings, generator = settings_of(server.address, rows=rows, seed=seed, prompt=prompt, **changes)
        counts = synthesise("made", settings, generator, table, tmp_path / "answers.sqlite", tmp_path / to)
        read = [
            [json.loads(line) for line in (tmp_path / to / name).open()] for name in ("rows.jsonl", "set_aside.jsonl")
        ]
        assert counts["asked"] == rows == len(read[0]) + len(read[1])
        assert counts["made"] == len(read[0]) and counts["set_aside"] == Counter(row["reason"] for row in read[1])
        return counts, *read

    return _ask


def settings_of(address, *, rows=12, seed=0, prompt="queries", **changes):
    fast = {"backoff_s": 0.01, "timeout_s": 10.0, "retries": 2, "concurrency": 4}
    generator = Openai(**{"type": "openai", "address": address, "model": "m"} | fast | changes)
    source = Synthesis(type="synthesis", documents="d", prompt=prompt, generator="g", rows=rows, seed=seed)
    read = read_prompt(prompt)
    return SynthesisSettings(
        source=source, prompt=read, attempts=generator.attempts, answering=generator.answering
    ), generator


def test_a_row_is_the_document_and_what_the_model_wrote(ask):
    with ChatServer() as server:
        counts, rows, aside = ask(server)
    assert (len(server.requests), counts["made"], aside) == (12, 12, [])
    assert {row["positive"] for row in rows} < set(TEXTS) and len({row["positive"] for row in rows}) == 12
    assert all(
        row["query"].startswith("text ") and row["task"] == "retrieval" and row["split"] == "train" for row in rows
    )
    body = server.requests[0]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["need", "query"]
    assert sum(text in body["messages"][1]["content"] for text in TEXTS) == 1
    assert counts["input_tokens"] == sum(sum(len(m["content"]) for m in b["messages"]) // 4 for b in server.requests)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason", "sent"),
    [
        ("time-out", "time-out", 3),
        ("busy", "HTTP 429", 3),
        (500, "HTTP 500", 3),
        (503, "HTTP 503", 3),
        ("half", "connection lost", 3),
        ("broken response", "broken response", 3),
        (400, "HTTP 400", 1),
        ("broken JSON", "not JSON", 3),
        ("wrong schema", "not as the schema says: the answer, required", 3),
        ("empty", "empty answer", 3),
        ("cut off", "cut off at max_tokens", 3),
    ],
)
def test_a_fault_is_retried_and_one_that_stays_is_set_aside(ask, fault, reason, sent):
    """About one document the server always fails, about another one once; the rest it answers."""
    seen = Counter()

    def planned(number, body):
        text = body["messages"][1]["content"]
        always, once = f"<document>\n{TEXTS[3]}" in text, f"<document>\n{TEXTS[4]}" in text
        seen.update(["always"] * always + ["once"] * once)
        return fault if always or (once and seen["once"] == 1) else None

    with ChatServer(planned) as server:
        counts, _, aside = ask(server, rows=30, **({"timeout_s": 0.5} if fault == "time-out" else {}))
        assert [row["reason"] for row in aside] == [reason] * (2 if sent == 1 else 1)
        assert counts["made"] == 30 - len(aside)
        assert seen == {"always": sent, "once": min(sent, 2)}
        if sent == 3 and fault in (
            "broken JSON",
            "wrong schema",
            "empty",
            "cut off",
        ):  # the model is told what was wrong
            repeated = [body["messages"] for body in server.requests if len(body["messages"]) == 4]
            assert len(repeated) == 3 and all("cannot be used" in messages[3]["content"] for messages in repeated)


def test_retry_after_holds_back_every_request(ask):
    with ChatServer(lambda number, body: "busy" if number == 0 else None) as server:
        ask(server, concurrency=1)
        assert server.times[1] - server.times[0] >= 0.3
        assert len(server.requests) == 13


def test_requests_are_limited_in_number_and_in_time(ask):
    with ChatServer(delay=0.02) as server:
        ask(server, concurrency=3)
        assert 1 < server.most_at_once <= 3
    with ChatServer() as server:
        ask(server, rows=6, seed=1, requests_per_minute=600)
        assert server.times[-1] - server.times[0] >= 0.4  # five waits of 0.1; without a limit all come at once


def test_fences_and_thoughts_around_an_answer_are_no_fault(ask):
    with ChatServer(lambda number, body: "fenced") as server:
        assert ask(server)[0]["made"] == 12 == len(server.requests)


def test_rows_do_not_depend_on_the_order_of_answers(ask, tmp_path):
    with ChatServer(lambda number, body: time.sleep(0.03 * (number % 3))) as server:
        ask(server, to="late")
        (tmp_path / "answers.sqlite").unlink()
    with ChatServer() as server:
        ask(server, concurrency=1, to="one")
    assert (tmp_path / "late" / "rows.jsonl").read_bytes() == (tmp_path / "one" / "rows.jsonl").read_bytes()


def test_nothing_is_asked_again_unless_its_answer_may_be_another(ask):
    with ChatServer() as server:
        _, rows, _ = ask(server)
        for unrelated in (
            {"concurrency": 1},
            {"timeout_s": 20.0},
            {"price": {"input": 1.0, "output": 2.0}},
            {"attempts": 5},
        ):
            assert ask(server, **unrelated)[1] == rows
        assert len(server.requests) == 12
        _, more, _ = ask(server, rows=20)
        assert len(server.requests) == 20 and all(row in more for row in rows)
        ask(server, temperature=0.1)
        assert len(server.requests) == 32
        ask(server, seed=1)
        assert len(server.requests) == 44


def test_more_rows_than_texts_ask_about_each_several_times(ask):
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=75)
    assert Counter(Counter(row["positive"] for row in rows).values()) == {2: 15, 3: 15}
    assert len({row["query"] for row in rows}) > 60  # persona, difficulty and form are drawn again


def test_a_failure_is_asked_again_by_the_next_run(ask):
    with ChatServer(lambda number, body: 500 if number < 3 else None) as server:
        assert ask(server, rows=5, concurrency=1)[0]["set_aside"] == {"HTTP 500": 1}
        assert ask(server, rows=5)[0]["made"] == 5
        assert len(server.requests) == 3 + 4 + 1


def _in_a_process(address, table, answers, output):
    synthesise("made", *settings_of(address, rows=30), table, answers, output)


def test_a_killed_run_asks_nothing_twice(ask, documents, tmp_path):
    with ChatServer(delay=0.05) as server:
        files = documents, tmp_path / "answers.sqlite", tmp_path / "made"
        process = multiprocessing.get_context("fork").Process(target=_in_a_process, args=(server.address, *files))
        process.start()
        while server.answered < 9:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not (tmp_path / "made").exists()
        time.sleep(0.1)  # for what is in flight
        before = len(server.requests)
        server.delay = 0.0
        counts, rows, _ = ask(server, rows=30)
        assert counts["made"] == 30
        # Only requests that were under way at the kill, and whose answers had just come: four of each at most, one for
        # each connection.
        assert 9 <= before < 30 and 30 <= len(server.requests) <= 30 + 8
    with ChatServer() as server:
        (tmp_path / "answers.sqlite").unlink()
        assert ask(server, rows=30, to="whole")[1] == rows


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_concerns_all_requests_ends_the_run_at_once(ask, monkeypatch, status):
    monkeypatch.setenv("TEST_KEY", KEY)
    with ChatServer(lambda number, body: status) as server, pytest.raises(AscentError) as error:
        ask(server, concurrency=1, key="TEST_KEY")
    assert len(server.requests) <= 2 and f"HTTP {status}" in str(error.value) and KEY not in str(error.value)


@pytest.mark.slow
def test_a_dead_server_and_a_useless_model_end_the_run(ask):
    with ChatServer() as server:
        pass
    with pytest.raises(AscentError, match="20 requests in a row failed .connection lost"):
        ask(server, rows=200, retries=0)
    with ChatServer(lambda number, body: "wrong schema") as server:
        with pytest.raises(AscentError, match="100 of the first 100 rows were set aside .100 x not as the schema says"):
            ask(server, rows=500, attempts=1)
        assert len(server.requests) < 150


def test_a_few_rows_that_are_all_set_aside_end_the_run(ask):
    """As by a server that takes `response_format` and ignores it."""
    message = "8 of the first 8 rows were set aside .8 x not JSON.; fix .* or its server, which may ignore `response_f"
    with ChatServer(lambda number, body: "broken JSON") as server, pytest.raises(AscentError, match=message):
        ask(server, rows=8, attempts=1)


def test_the_key_is_sent_and_written_nowhere(ask, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TEST_KEY", KEY)

    def planned(number, body):  # a server that shows the key wherever it can
        return {0: "busy", 1: 500, 2: "wrong schema"}.get(number, 400 if TEXTS[3] in str(body) else "key")

    with ChatServer(planned) as server:
        _, rows, _ = ask(server, rows=30, key="TEST_KEY")
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert any("[key]" in row["query"] for row in rows)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 5 and not [path for path in written if KEY.encode() in path.read_bytes()]
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err


def test_a_key_in_place_of_its_variable_is_not_shown(monkeypatch):
    for wrong in ({"key": KEY}, {"address": f"http://me:{KEY}@host/v1"}):
        generator = {"type": "openai", "address": "http://host/v1", "model": "m"} | wrong
        with pytest.raises(AscentError) as error:
            check(Config, {"recipes": [], "generators": {"g": generator}}, "config.yaml")
        assert KEY not in str(error.value) and next(iter(wrong)) in str(error.value)
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    _, generator = settings_of("http://127.0.0.1:1/v1", key="ABSENT_KEY")
    with pytest.raises(AscentError, match="ABSENT_KEY: .* is not set; export it"):
        Backend(generator)


def test_a_row_has_the_origin_of_what_it_is_about(ask, tmp_path):
    """Of the whole document, as an extracted pair has it; of a pair its own."""
    origins = ["a.md", "https://b.example/#char=x", None, "c.jsonl:2", "https://d.example/#top"]
    cut = ["a.md#char=0,20", *origins[1:4], f"{origins[4]}#char=5,9"]
    about = dict(zip(TEXTS, origins, strict=False))
    table = tmp_path / "table.parquet"
    write_documents(
        table, document_frame([Document(text, "train", origin=at) for text, at in zip(about, cut, strict=True)])
    )
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=10, table=table)
    assert [row["origin"] for row in rows] == [about[row["positive"]] for row in rows]
    reading = Reading(reader={"type": "synthesised"}, language="eng-Latn")
    pairs, documents, _ = normalised("made", reading, tmp_path / "made")
    assert dict(pairs.select("positive", "origin").rows()) == about
    assert dict(documents.select("text", "origin").rows()) == about
    write_pairs(table, pair_frame([replace(PAIRS[0], origin="a site"), PAIRS[1]], "d", "eng-Latn"))
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=2, prompt="query-rewriting", table=table)
    assert {row["positive"]: row["origin"] for row in rows} == {"answer 0": "a site", "answer 1": None}


def test_its_rows_are_a_corpus_like_any_other(ask, tmp_path):
    def planned(number, body):
        return "empty" if TEXTS[3] in str(body) else None

    with ChatServer(planned) as server:
        counts, rows, _ = ask(server, rows=30)
    reading = Reading(reader={"type": "synthesised"}, language="eng-Latn")
    pairs, documents, audit = normalised("made", reading, tmp_path / "made")
    assert audit["set_aside"] == counts["set_aside"] == {"empty answer": 1}
    assert audit["pairs"] == {"train retrieval": 29} and len(documents) == 29
    assert pairs.select("query", "positive").rows() == [(row["query"], row["positive"]) for row in rows]
    assert read_json(tmp_path / "made" / "provenance.json")["counts"] == counts


PAIRS = [Pair(f"query {n}", f"answer {n}", (f"wrong {n}", f"worse {n}")) for n in range(6)]
CLASSES = [Pair(f"text {n}", ("joy", "anger", "fear")[n % 3], task="classification") for n in range(6)]


@pytest.mark.parametrize(
    "prompt", ["hard-negatives", "query-rewriting", "back-translation", "class-variants", "class-contrasts"]
)
def test_prompts_about_pairs(ask, tmp_path, prompt):
    write_pairs(tmp_path / "pairs.parquet", pair_frame([*PAIRS, *CLASSES], "d", "eng-Latn"))
    with ChatServer() as server:
        _, rows, aside = ask(server, rows=6, prompt=prompt, table=tmp_path / "pairs.parquet")
    assert not aside and len(server.requests) == (12 if prompt == "back-translation" else 6)
    if prompt.startswith("class"):
        own = {pair.query: pair.positive for pair in CLASSES}
        shown = [
            next(text for text in own if f"\n{text}\n" in body["messages"][1]["content"]) for body in server.requests
        ]
        for body, text in zip(server.requests, shown, strict=True):
            assert f'class "{own[text]}"' in body["messages"][1]["content"]
        assert sorted(row["positive"] for row in rows) == sorted(own.values()) or prompt == "class-contrasts"
        assert {row["task"] for row in rows} == {"classification"}
        return
    answers = {pair.query: pair.positive for pair in PAIRS}
    if prompt == "hard-negatives":
        assert {row["query"]: row["positive"] for row in rows} == answers
        assert all(len(row["negatives"]) == 2 for row in rows)
    else:
        assert [row["positive"] for row in rows] == [pair.positive for pair in PAIRS]
        assert not {row["query"] for row in rows} & answers.keys()
    if prompt == "back-translation":  # the way back sees the translation and not the original
        back = [body for body in server.requests if "Translate this text into text" in body["messages"][1]["content"]]
        assert len(back) == 6 and not any(pair.query in str(body) for body in back for pair in PAIRS)


def test_a_contrast_is_of_another_class(ask, tmp_path):
    write_pairs(tmp_path / "pairs.parquet", pair_frame(CLASSES, "d", "eng-Latn"))
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=30, prompt="class-contrasts", table=tmp_path / "pairs.parquet")
    own = [pair.positive for pair in CLASSES for _ in range(5)]
    assert all(row["positive"] != label for row, label in zip(rows, own, strict=True))
    assert {row["positive"] for row in rows} == {"joy", "anger", "fear"}


def test_a_judge_gives_each_document_a_score(ask, tmp_path):
    """A list of another length is a fault of the answer, which the model is told."""
    write_pairs(tmp_path / "pairs.parquet", pair_frame(PAIRS, "d", "eng-Latn"))

    def planned(number, body):
        short = len(body["messages"]) == 2 and "<query>query 2</query>" in body["messages"][1]["content"]
        return lambda body: {"grades": [9] if short else [9, 2, 0]}

    with ChatServer(planned) as server:
        _, rows, _ = ask(server, rows=6, prompt="judge", table=tmp_path / "pairs.parquet")
        assert len(server.requests) == 7 and "not one score per document" in str(server.requests)
    assert [row["scores"] for row in rows] == [[9.0, 2.0, 0.0]] * 6
    reading = Reading(reader={"type": "synthesised"}, language="eng-Latn")
    pairs, _, _ = normalised("made", reading, tmp_path / "made")
    assert pairs["scores"].to_list() == [[9.0, 2.0, 0.0]] * 6


def test_graded_pairs_have_the_grade_that_was_asked_for(ask):
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=30, prompt="sts-pairs")
    meanings = {grade["means"]: grade["value"] / 5 for grade in read_prompt("sts-pairs").choices["grade"]}
    asked = {}
    for body in server.requests:
        text = body["messages"][1]["content"]
        document = next(each for each in TEXTS if f"<text>\n{each}\n" in text)
        asked[document] = next(label for means, label in meanings.items() if f"that {means}." in text)
    assert {row["query"]: row["label"] for row in rows} == asked and len(set(asked.values())) > 3
    assert {row["task"] for row in rows} == {"sts"}


def test_each_round_of_refinement_sees_the_one_before(ask):
    with ChatServer() as server:
        _, rows, _ = ask(server, rows=1, prompt="refined-queries", concurrency=1)
    first, second, third = (body["messages"][1]["content"] for body in server.requests)
    written = [made(body)["query"] for body in server.requests]
    assert f"<query>{written[0]}</query>" in second and f"<query>{written[1]}</query>" in third
    assert rows[0]["query"] == written[2] and "<query>" not in first
