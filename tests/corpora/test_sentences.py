"""Where sentences end: the sentences of a case are separated by `|`."""

import pytest

from ascent.corpora.sentences import sentences

CASES = {
    "abbreviations": "Dr. Smith met Mr. J. R. Brown at 5 p.m. on Mon. and left. |Was it 3.14 or 2.7? |No. 5 is alive.",
    "latin abbreviations": (
        "Use e.g. a list, i.e. a sequence (cf. Fig. 2). |See os.path.join() for details. |It returns None."
    ),
    "initials": "He works at I.B.M. in the U.S. Army. |I do, and so do I. |That is all!! |Really?! |OK.",
    "either": (
        "We sell apples, pears, etc. and more. |We sell apples, etc. |They do not. |Acme Inc. was founded. |It grew."
    ),
    "closing quotes": 'She asked: "Why?" |"Because," he said. |“Yes!” she said. |(It was so.) |Then…',
    "numbers": "Version 3.11.2 is out.\n|1. Open it. |Pages 3. and 4. are blank.",
    "chinese": "今天天气很好。|我们去公园吧！|你去吗？|“好的。”|他说了。",
    "chinese ellipsis": "他问：“你是谁？”|我没有回答……因为我不知道。|价格是3.5元。|好吗?|好的。",
    "chinese clauses": "保险(英语:insurance)是一种制度。|它分为两类：人寿保险；财产保险。|参见第3.2节。 \n|完",
    "both": "Python（蟒蛇）很好用。|It works. |真的吗？|Yes.",
    "lines": "A heading\n\n|A paragraph\nof two lines.\n|- an item\n|- another\n|2) a third",
    "one": "no end",
    "spaces around": "  \n One. |Two.  \n",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_sentences(case):
    expected = case.split("|")
    text = case.replace("|", "")
    assert [text[begin:end] for begin, end in sentences(text)] == expected


@pytest.mark.parametrize("text", ["", " \n\n "])
def test_white_space_has_no_sentences(text):
    assert sentences(text) == []
