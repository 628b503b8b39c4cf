"""What a plan counts of the documents of other corpora that a local task searches in."""

import yaml
from transformers import AutoTokenizer

from ascent.files import read_yaml
from ascent.pairs.table import Document, document_frame, write_documents
from ascent.planning.gpus import Machine
from ascent.planning.plan import make_plan
from ascent.recipes.loading import load_recipes


def planned(workspace, documents: list[str], corpora: dict):
    values = yaml.safe_load((workspace / "small.yaml").read_text())
    values["evaluate"]["tasks"]["LibraryRetrieval"]["documents"] = documents
    (workspace / "searching.yaml").write_text(yaml.safe_dump(values))
    config = read_yaml(workspace / "config.yaml") | {"recipes": ["searching"]}
    found = make_plan(load_recipes(config | {"corpora": config["corpora"] | corpora}), "searching", Machine())
    (job,) = [job for job in found.jobs if job.what == "LibraryRetrieval"]
    return job, len(values["evaluate"]["stages"]), found.notes


def test_documents_of_other_corpora_are_counted_for_each_stage(workspace, base, monkeypatch):
    """Those that are here by the base's tokenizer, those that are not by the catalogue; and what is not known is
    told."""
    monkeypatch.chdir(workspace)
    texts = [f"the documentation of number {number}, " + "and more of it " * (number % 4) for number in range(90)]
    path = workspace / "results/corpora/here/documents-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    write_documents(path, document_frame([*(Document(text, "test") for text in texts), Document("no", "train")]))
    plain = {"source": {"type": "hub", "id": "some/thing"}, "reader": {"pairs": {"train": ["*"]}}}
    plain |= {"licence": "mit", "language": "eng-Latn"}
    size = {"rows": 1_000_000, "query_tokens": 9, "positive_tokens": 18}
    corpora = {"here": plain, "far": plain | {"size": size}, "unknown": plain}
    alone, stages, _ = planned(workspace, [], corpora)
    ids = AutoTokenizer.from_pretrained(base)(texts, truncation=True, max_length=32)["input_ids"]
    found, _, _ = planned(workspace, ["here"], corpora)
    assert found.count.texts - alone.count.texts == 90 * stages
    assert found.count.tokens - alone.count.tokens == sum(map(len, ids)) * stages
    found, _, _ = planned(workspace, ["far"], corpora)
    assert found.count.tokens - alone.count.tokens == 1_000_000 * (18 + 2) * stages  # [CLS] and [SEP]
    found, _, notes = planned(workspace, ["unknown"], corpora)
    assert found.count == alone.count
    told = "Corpus unknown: is not retrieved and has no size, so its documents are not counted."
    assert notes.count(told) == 1
