"""Rows that an objective cannot train on are refused before the first step."""

import pytest

from ascent.errors import AscentError
from ascent.pairs.table import Pair


def test_rows_without_anything_to_be_told_from_are_refused(data_of, tokens_of):
    folder = tokens_of([Pair("a", "first"), Pair("b", "second")], task="classification")
    with pytest.raises(
        AscentError, match=r"stages\.s\.data\.x: has no negatives, and in-batch negatives are off .* set in_batch: true"
    ):
        data_of({"x": folder}, tasks={"x": "classification"})
    assert len(data_of({"x": folder}, tasks={"x": "classification"}, data={"x": {"in_batch": True}})) == 2


def test_rows_without_negatives_are_refused_by_a_loss_on_ones_own(data_of, tokens_of):
    folder = tokens_of([Pair("a", "first"), Pair("b", "second")])
    with pytest.raises(
        AscentError, match="data.x: has no negatives of its own, which the objective 'triplet' needs; mine"
    ):
        data_of({"x": folder}, objective={"infonce": {}, "triplet": {}})


def test_rows_without_two_negatives_are_refused_by_mixing(data_of, tokens_of):
    objective = {"infonce": {"mixing": {"pairwise": 1}}}
    one, two = (tokens_of([Pair("a", "first", ("x", "y")[:count]), Pair("b", "second")]) for count in (1, 2))
    with pytest.raises(
        AscentError, match="data.x: has no row with two negatives of its own, which mixing needs; mine more"
    ):
        data_of({"x": one}, objective=objective)
    assert len(data_of({"x": two}, objective=objective)) == 2


def test_rows_without_a_label_are_refused_by_a_loss_on_graded_pairs(data_of, tokens_of):
    folder = tokens_of([Pair("a", "first", label=0.5), Pair("b", "second")])
    with pytest.raises(AscentError, match="data.x: row 1 has no label, which the objective 'cosine' needs; add labels"):
        data_of({"x": folder}, data={"x": {"objective": "cosine"}})


def test_labels_that_are_no_cosines_are_refused_by_a_loss_on_cosines(data_of, tokens_of):
    folder = tokens_of([Pair("a", "first", label=0.5), Pair("b", "second", label=4.2)])
    with pytest.raises(
        AscentError, match=r"data\.x: row 1 has the label 4\.2, but the objective 'cosine' expects a cosine"
    ):
        data_of({"x": folder}, objective="cosine")
    assert len(data_of({"x": folder}, objective="cosent")) == 2


def test_graded_pairs_are_refused_by_a_loss_that_takes_each_for_a_positive(data_of, tokens_of):
    graded, alike = (
        tokens_of([Pair("a", "first", label=0.0), Pair("b", "second", label=label)]) for label in (1.0, 0.0)
    )
    with pytest.raises(
        AscentError, match=r"data\.x: these rows have labels, but 'infonce' treats every pair as a positive"
    ):
        data_of({"x": graded})
    assert len(data_of({"x": alike})) == 2
