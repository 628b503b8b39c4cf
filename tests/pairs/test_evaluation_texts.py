"""What is listed as a task's texts is what mteb hands to the model that it evaluates."""

import mteb
import numpy as np
import polars as pl
import pytest
from mteb import mocks
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta
from mteb.types import PromptType

from ascent.errors import AscentError
from ascent.evaluation import texts
from ascent.pairs.ledger import make_ledger, refuse, tables_of, trained_on
from ascent.pairs.table import Pair, pair_frame, read_documents, write_pairs
from ascent.pairs.tested import TestedTexts
from ascent.settings.leaks import Leaks
from ascent.settings.pairs import Dataset
from ascent.settings.validation import check
from support.pairs import filtered

KINDS = (
    "MockSTSTask",
    "MockMultilingualSTSTask",
    "MockPairClassificationTask",
    "MockMultilingualPairClassificationTask",
    "MockClassificationTask",
    "MockMultilingualClassificationTask",
    "MockMultilabelClassification",
    "MockClusteringTask",
    "LegacyMockClusteringFastTask",
    "MockMultilingualClusteringFastTask",
    "MockRetrievalTask",
    "MockMultilingualRetrievalTask",
    "MockRerankingTask",
    "MockInstructionRetrieval",
    "MockBitextMiningTask",
    "MockMultilingualBitextMiningTask",
    "MockSummarizationTask",
)


class Listener(AbsEncoder):
    """A model that keeps what it is asked to embed: documents apart."""

    def __init__(self) -> None:
        self.mteb_model_meta = ModelMeta.create_empty({"name": "ascent/listener", "revision": "0"})
        self.heard: set[str] = set()
        self.documents: set[str] = set()

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **options) -> np.ndarray:
        texts = [text for batch in inputs for text in batch["text"]]
        instructions = [instruction for batch in inputs for instruction in batch.get("instruction", [])]
        if prompt_type == PromptType.document:
            self.documents |= set(texts)
        elif hf_split != "train":
            # mteb puts the instruction behind the query.
            ends = [f" {each}" for each in instructions] or [""] * len(texts)
            self.heard |= {text.removesuffix(end) for text, end in zip(texts, ends, strict=True)}
        return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_text_that_mteb_tests_with_is_listed(name, tmp_path):
    def task():
        made = getattr(mocks, name)()
        made.load_data()
        return made

    listener = Listener()
    mteb.evaluate(listener, task(), cache=None, co2_tracker=False, show_progress_bar=False)
    assert listener.heard
    listed = texts.tested_texts(task())
    assert len(set(listed)) == len(listed)
    missed = listener.heard - set(listed)
    # Classifiers are fitted to texts of another split, which mteb names like the evaluated one.
    fitted = {text for text in missed if "lassification" in name and "Pair" not in name}
    assert missed == fitted
    assert listener.heard - fitted
    texts.write_task_documents(tmp_path / "documents.parquet", task())
    listed = set(read_documents(tmp_path / "documents.parquet")["text"])
    searches = "Retrieval" in name or "Reranking" in name
    assert bool(listener.documents) == searches
    assert listed == listener.documents or not searches  # others may have labels that are texts


def test_a_task_is_kept_out_of_training_like_a_corpus(tmp_path):
    task = mocks.MockRetrievalTask()
    task.load_data()
    tested = texts.tested_pairs(task)
    query = tested["query"][0]
    rows = pair_frame([Pair(f"{query.upper()}!", "x"), Pair("y", "z")], "web", "eng-Latn")
    write_pairs(tmp_path / "tested.parquet", tested)
    texts.write_task_documents(tmp_path / "pool.parquet", task)
    tables = tables_of(task.metadata.name, tmp_path / "tested.parquet", tmp_path / "pool.parquet", ["test"])
    compared = TestedTexts.written(tmp_path / "texts.arrow", tables)

    def ledger(pairs):
        write_pairs(tmp_path / "rows.parquet", pairs)
        return make_ledger(trained_on([tmp_path / "rows.parquet"]), compared, Leaks())

    with pytest.raises(AscentError, match="add MockRetrievalTask to `against` of the data"):
        refuse(ledger(rows))
    dataset = check(
        Dataset, {"corpus": "web", "filters": [{"contamination": {"against": [task.metadata.name]}}]}, "recipe.yaml"
    )
    kept, audit = filtered("web", dataset, [rows], [tested])
    assert kept["query"].to_list() == ["y"]
    assert audit["filters"][-1]["dropped"] == {"the query is a test query": 1}
    assert ledger(kept) == []
    assert tested.select(pl.col("query") == pl.col("positive")).to_series().all()


def test_a_task_without_texts_is_refused():
    task = mocks.MockImageClassificationTask()
    task.load_data()
    with pytest.raises(AscentError, match="MockImageClassification: has no test texts"):
        texts.tested_pairs(task)
