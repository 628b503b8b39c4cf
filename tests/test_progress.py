"""What a log tells of how far a step is."""

import pytest

from ascent.progress import SECONDS, Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr("ascent.progress.time.monotonic", lambda: now[0])
    return now


def told(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_each_line_names_the_step_and_the_time_left_and_the_last_is_there(clock, capsys):
    with Progress("finetune", 32, "step") as progress:
        for step in range(32):
            clock[0] += 2
            progress.advance(note=f"loss {step}")
    lines = told(capsys)
    assert lines[0] == "finetune: step 4/32  loss 3  56 s left"
    assert lines[-1] == "finetune: step 32/32  loss 31"
    assert [line.split("/")[0] for line in lines] == [
        f"finetune: step {n}" for n in (4, 7, 10, 13, 16, 20, 23, 26, 29, 32)
    ]


def test_a_resumed_step_counts_the_time_of_its_own_units(clock, capsys):
    with Progress("finetune", 100, "step", start=50) as progress:
        for _ in range(10):
            clock[0] += 3
            progress.advance()
    assert told(capsys) == ["finetune: step 60/100  2 min left"]


def test_an_early_end_is_told(clock, capsys):
    with Progress("finetune", 100, "step") as progress:
        for _ in range(13):
            clock[0] += 60
            progress.advance()
    assert told(capsys) == ["finetune: step 10/100  1 h 30 min left", "finetune: step 13/100  1 h 27 min left"]


def test_a_slow_step_tells_between_the_tenths(clock, capsys):
    with Progress("finetune", 1000, "step") as progress:
        for _ in range(3):
            clock[0] += SECONDS
            progress.advance()
    assert [line.split("  ")[0] for line in told(capsys)] == [f"finetune: step {n}/1,000" for n in (1, 2, 3)]


def test_what_is_short_leaves_no_line(clock, capsys):
    for seconds, lines in ((0.5, 0), (2, 6)):
        with Progress("SciFact, documents", 10, "text", patience=10) as progress:
            for _ in range(10):
                clock[0] += seconds
                progress.advance()
        assert len(told(capsys)) == lines


def test_nothing_to_do_is_no_error(capsys):
    Progress("none", 0, "text").close()
    assert told(capsys) == []


def test_durations():
    assert [duration(s) for s in (0.4, 59, 90, 3599, 3600, 12_000, 187_200)] == [
        "0 s",
        "59 s",
        "2 min",
        "1 h 0 min",
        "1 h 0 min",
        "3 h 20 min",
        "2 d 4 h",
    ]
