"""Headings and the sections below them, in the forms that documents have."""

from itertools import pairwise
from pydoc_data.topics import topics

import pytest

from ascent.corpora.headings import sections

MARKDOWN = """\
# Cats #

They purr.

```sh
# no heading
```

Food
----
Fish.

    # code

## Sleep
### In the sun
~~~
## no heading ~~~
~~~
Long.
"""
RST = """\
====
Cats
====

They purr.
A line
----------------------
that only looks like one is none; nor is

----

Food
~~~~

Fish:

   NOT A HEADING
      in a literal block
"""
MANUAL = """\
LS(1)                    User Commands                   LS(1)

NAME
       ls - list directory contents

SEE ALSO
       dir(1)
   Exit status:
       0 if OK
AUTHOR

Written by R. M. S.
"""


def told(text):
    return [(each.heading, text[each.begin : each.end].strip().splitlines()[:1]) for each in sections(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            MARKDOWN,
            [("", []), ("Cats", ["They purr."]), ("Food", ["Fish."]), ("Sleep", []), ("In the sun", ["~~~"])],
        ),
        (RST, [("", []), ("Cats", ["They purr."]), ("Food", ["Fish:"])]),
        (
            MANUAL,
            [
                ("", ["LS(1)                    User Commands                   LS(1)"]),
                ("NAME", ["ls - list directory contents"]),
                ("SEE ALSO", ["dir(1)"]),
            ],
        ),
        ("猫\n====\n会打呼噜。\r\n\r\n# 食物\r\n鱼。", [("", []), ("猫", ["会打呼噜。"]), ("食物", ["鱼。"])]),
        ("no headings\nat all\n", [("", ["no headings"])]),
        ("", [("", [])]),
    ],
    ids=["markdown", "rst", "manual", "chinese", "none", "empty"],
)
def test_headings(text, expected):
    assert told(text) == expected


def test_sections_and_headings_are_the_whole_text():
    for text in (MARKDOWN, RST, MANUAL):
        found = sections(text)
        between = [text[first.end : second.begin] for first, second in pairwise(found)]
        assert all(section.heading in skipped for section, skipped in zip(found[1:], between, strict=True))
        assert found[0].begin == 0 and found[-1].end == len(text)
        assert all(section.begin <= section.end for section in found)


def test_python_s_own_documentation():
    """Every topic of `help()` begins with an underlined heading; those of one topic were looked up by hand."""
    assert all(sections(text)[1].heading for text in topics.values())
    headings = [section.heading for section in sections(topics["with"])]
    assert headings == ["", 'The "with" statement']
    assert [section.heading for section in sections(topics["async"])][:4] == [
        "",
        "Coroutines",
        "Coroutine function definition",
        'The "async for" statement',
    ]
