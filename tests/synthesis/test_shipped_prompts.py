"""Prompts as files: those that come along, and what is refused before the first request."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ascent.corpora.cells import BadRow
from ascent.errors import AscentError
from ascent.recipes.synthesis import read_prompt
from ascent.settings.synthesis import Prompt
from ascent.settings.validation import check
from ascent.synthesis.answers import Answer
from ascent.synthesis.conversation import Fault, read_answer
from ascent.synthesis.prompts import Templates

FOLDER = Path(__file__).parents[2] / "config" / "prompts"
ASKED = {"name": "draft", "user": "About {{ document }}.", "answer": {"query": {"type": "string"}}, "tokens": 9}
PROMPT = {
    "summary": "s",
    "task": "retrieval",
    "inputs": ["document"],
    "system": "Write.",
    "steps": [ASKED],
    "row": {"query": "draft.query", "positive": "document"},
}


def prompt(**changes) -> Prompt:
    return check(Prompt, PROMPT | changes, "p.yaml")


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_prompt_is_whole_and_in_the_documents(name):
    read = read_prompt(name)
    Templates(name, read)
    for step in read.steps:
        Draft202012Validator.check_schema(step.schema_of_answer)
    assert f"| `{name}` |" in (FOLDER.parents[1] / "docs" / "synthesis.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"system": "For {{ persona }}."},
            "prompt p: 'system' names 'persona', which it does not see; known are: document",
        ),
        ({"steps": [ASKED | {"user": "{% if %}"}]}, "prompt p: 'steps.draft' is not a Jinja template"),
        ({"row": PROMPT["row"] | {"query": "draft.qery"}}, "'row.query' names 'draft.qery', .* did you mean 'query'"),
        ({"row": PROMPT["row"] | {"label": "grade / 5"}}, "'row.label' names 'grade', which it does not see"),
        ({"row": {"query": "draft.query"}}, "p.yaml: .* row has no positive; add it"),
        ({"inputs": ["document", "query"]}, "inputs are `document` alone, or columns of pairs"),
        ({"choices": {"draft": ["a"]}}, "inputs, choices and steps name 'draft' twice"),
        ({"steps": [ASKED | {"name": "a-b"}]}, "a step's name stands in templates"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(changes, message):
    with pytest.raises(AscentError, match=message):
        Templates("p", prompt(**changes))


def test_a_template_reaches_nothing_of_python():
    templates = Templates("p", prompt(steps=[ASKED | {"user": "{{ document.__class__.__mro__ }}"}]))
    with pytest.raises(AscentError, match="unsafe"):
        templates.messages(templates.prompt.steps[0], {"document": "d"})


def test_braces_in_a_document_are_no_template():
    templates = Templates("p", prompt())
    messages = templates.messages(templates.prompt.steps[0], {"document": "{{ 7 * 7 }} {% raw %}"})
    assert messages == [("system", "Write."), ("user", "About {{ 7 * 7 }} {% raw %}.")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"query": " "}, "no query"),
        ({"query": "same"}, "query and positive are the same text"),
        ({"negatives": ["other", "same"]}, "a negative is the query or the positive"),
        ({"negatives": ["other"], "scores": [1, 2, 3]}, "not one score per document"),
        ({"scores": ["high"]}, "score is not a number"),
        ({"query": "\ud800"}, "query is not valid UTF-8"),
    ],
)
def test_a_row_that_cannot_be_used_is_none(row, reason):
    columns = {"query": "draft.query", "positive": "document", "negatives": "draft.negatives", "scores": "draft.scores"}
    answer = {"query": {"type": "string"}, "negatives": {"type": "array"}, "scores": {"type": "array"}}
    templates = Templates("p", prompt(steps=[ASKED | {"answer": answer}], row=columns))
    made = {"query": "q", "negatives": [], "scores": [1] * (1 + len(row.get("negatives", [])))} | row
    with pytest.raises(BadRow, match=reason):
        templates.row({"document": "same", "draft": made})


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        '<think>{"a": "x"}</think>\n\n {"a": 1}\n',
        '<think>\n</think>```\n{"a": 1}```',
    ],
)
def test_an_answer_is_read_through_fences_and_thoughts(text):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert read_answer(Answer(text), schema) == {"a": 1}
    with pytest.raises(Fault, match="cut off"):
        read_answer(Answer(text, complete=False), schema)


@pytest.mark.parametrize(
    ("text", "reason", "told"),
    [
        ("", "empty answer", "it is empty"),
        ("Sure! Here it is.", "not JSON", "Expecting value"),
        pytest.param("[" * 100_000, "not JSON", "recursion", id="deep"),
        ('{"a": "x"}', "not as the schema says: a, type", "a: 'x' is not of type 'integer'"),
        ("[1]", "not as the schema says: the answer, type", "is not of type 'object'"),
    ],
)
def test_what_is_wrong_with_an_answer_is_counted_in_few_words_and_told_in_more(text, reason, told):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    with pytest.raises(Fault) as fault:
        read_answer(Answer(text), schema)
    assert fault.value.reason == reason and told in fault.value.told
