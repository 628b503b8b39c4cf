"""The catalogue of corpora: what it says of mteb's tasks, with mteb as the judge."""

import mteb
import pytest

from ascent.recipes.loading import read_config
from ascent.settings.corpora import Corpus
from ascent.settings.mteb_tasks import mteb_tasks
from ascent.settings.validation import check

CORPORA = {name: check(Corpus, values, "corpora.yaml") for name, values in read_config()["corpora"].items()}
# Models for which mteb names what they learned from, and the mixtures that they are made of.
MODELS = {
    "jxm/cde-small-v1": ["bge-full-data"],
    "codefuse-ai/F2LLM-0.6B": ["f2llm"],
    "nomic-ai/nomic-embed-text-v1": ["nomic-pairs", "nomic-mined"],
    "lightonai/DenseOn-unsupervised": ["lighton-pairs"],
    "lightonai/DenseOn": ["lighton-pairs", "lighton-mined"],
}


def test_every_task_that_a_corpus_names_is_one_of_mteb():
    unknown = {name: {*corpus.mteb_tasks} - mteb_tasks()["tasks"].keys() for name, corpus in CORPORA.items()}
    assert {name: tasks for name, tasks in unknown.items() if tasks} == {}


@pytest.mark.parametrize("model", MODELS)
def test_a_mixture_names_the_tasks_that_mteb_names_for_the_model_made_of_it(model):
    """But for translations (-NL, -PL) and parts of other tasks, which mteb counts as similar, and names of no task."""
    named = {task for corpus in MODELS[model] for task in CORPORA[corpus].mteb_tasks}
    theirs = {task for task in mteb.get_model_meta(model).training_datasets if task in mteb_tasks()["tasks"]}
    assert len(theirs) >= 5
    missing = {task for task in theirs - named if not task.endswith(("-NL", "-PL"))}
    assert {task for task in missing if mteb.get_task(task).metadata.adapted_from is None} == set()


def test_a_data_set_that_mteb_reads_is_pinned_where_mteb_pins_it_and_named_as_its_task():
    pinned = {}
    for task in mteb.get_tasks(tasks=sorted({task for corpus in CORPORA.values() for task in corpus.mteb_tasks})):
        if not task.is_aggregate:
            pinned[task.metadata.dataset["path"]] = (task.metadata.name, task.metadata.dataset["revision"])
    shared = {name: corpus for name, corpus in CORPORA.items() if getattr(corpus.source, "id", "") in pinned}
    assert len(shared) >= 12
    for name, corpus in shared.items():
        task, revision = pinned[corpus.source.id]
        assert (corpus.source.revision, task in corpus.mteb_tasks) == (revision, True), name
