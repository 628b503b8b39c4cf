"""Runs that learn nothing: stopped where there is nothing to learn, told where the loss stays at chance."""

import math

import pytest

from ascent.errors import AscentError
from ascent.pairs.table import Pair
from ascent.training.engine import StepResult
from ascent.training.watch import Watch


def result(loss: float, norm: float) -> StepResult:
    return StepResult(loss=loss, gradient_norm=norm, tokens=1, squares=1, more={})


def test_steps_without_loss_and_gradient_end_a_run_only_from_its_first_on():
    for step in range(1, 10):
        (watch := Watch("s", 0, 100)).saw(step, result(0.0, 0.0))
    watch = Watch("s", 0, 100)
    watch.saw(1, result(0.0, 0.1))  # a loss may be 0 where its gradient is not
    later = Watch("s", 20, 100)
    for step in range(2, 40):
        watch.saw(step, result(0.0, 0.0))
        later.saw(20 + step, result(0.0, 0.0))


def test_chance_is_told_once_after_three_times_in_a_row():
    watch = Watch("stages.s", 0, 100)
    assert [step for step in range(1, 101) if watch.due(step)] == [30, 40, 50, 60, 70, 80, 90, 100]
    losses = {30: 2.0, 40: 2.0, 50: 1.0, 60: 2.0, 70: 2.0, 80: 1.9, 90: 2.0}
    told = {step: words for step, loss in losses.items() if (words := watch.compare(step, loss, 2.0))}
    assert told.keys() == {80}
    assert told[80].startswith(
        "warning: stages.s: the loss of steps 60, 70 and 80 was at chance, 2.00, the logarithm of"
    )
    assert watch.compare(100, 2.0, None) is None


def test_a_stage_with_nothing_to_learn_stops_and_says_why(train_here, tiny_model, training_contract, tokens_of):
    """A document that answers all queries leaves none to be told from it."""
    tokens = tokens_of([Pair(f"what is number {index}", "a number") for index in range(40)])
    with pytest.raises(
        AscentError, match=r"were 0 in each of the first 4 steps, so nothing is learned: .* or use another obj"
    ):
        train_here(tiny_model, training_contract, tokens=tokens, batch_size=10, weight_decay=0)


def test_a_stage_that_stays_at_chance_says_so(train_here, tiny_model, training_contract, capsys):
    """Eleven rows with two documents each. At a high temperature all scores are nearly equal."""
    lines = train_here(
        tiny_model, training_contract, objective={"infonce": {"temperature": 100.0}}, learning_rate=1e-9, epochs=4
    )
    assert [line["loss"] for line in lines] == pytest.approx([math.log(22)] * 16, abs=0.1)
    assert "the loss of steps 4, 5 and 6 was at chance, 3.09, the logarithm of the number of" in capsys.readouterr().out


def test_a_batch_larger_than_its_data_is_told(train_here, tiny_model, training_contract, capsys):
    train_here(tiny_model, training_contract, batch_size=1000)
    assert "warning: " in (words := capsys.readouterr().out)
    assert (
        "batch_size: 1,000 is more than the 44 pairs of its data, so each pass over them is one step or less" in words
    )
