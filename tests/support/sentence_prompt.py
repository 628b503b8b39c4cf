"""A prompt that a model of 135 million parameters can follow."""

from ascent.settings.synthesis import Prompt, Step

SENTENCE = Prompt(
    summary="A sentence for a text.",
    task="retrieval",
    inputs=["document"],
    system="You summarise texts in one sentence.",
    steps=[
        Step(
            name="short",
            user="{{ document }}\n\nSummarise this text in one sentence.",
            answer={"sentence": {"type": "string", "minLength": 10, "maxLength": 160}},
            tokens=30,
        )
    ],
    row={"query": "short.sentence", "positive": "document"},
)
