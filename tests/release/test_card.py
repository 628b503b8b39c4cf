"""The card: the hub's own parser reads it, and its numbers are those of their files."""

import copy
import json
import re

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from mteb.models.model_meta import ModelMeta
from mteb.types import OutputDType
from safetensors.torch import load_file

from ascent.model.encoder import Encoder
from ascent.model.saving import save_like
from ascent.release.assemble import release_model
from ascent.release.card import _dataset_path, merged_stages
from ascent.release.parity import open_as_mteb
from ascent.settings.model import Contract
from ascent.settings.mteb_tasks import tasks_with_prompts
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import check
from support.toy_release import PROMPTS, SCORES, SETTINGS, SIGNIFICANCE, release


def test_front_matter_is_read_by_the_hub(files, model):
    card = ModelCard.load(release(files, model) / "README.md")
    assert (card.data.language, card.data.license, card.data.base_model) == (
        ["en", "de"],
        "apache-2.0",
        "sentence-transformers/tiny",
    )
    assert {"mteb", "sentence-transformers"} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_type, result.dataset_split) == (
        "Retrieval",
        "local/Search",
        "test",
    )
    assert (result.metric_type, result.metric_value, result.dataset_revision) == ("ndcg_at_10", 0.7712, "abc")
    assert card.data.model_name == "team/toy"


def test_two_tasks_of_one_corpus_are_two_results(files, model):
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["evaluate"]["tasks"]["Groups"] = {"type": "retrieval", "corpus": "letters", "queries": 2}
    task = json.loads((files / "Search.json").read_text()) | {"task_name": "Groups"}
    (files / "Groups.json").write_text(json.dumps(task))
    given = {"radar": files / "radar.png", "results": [files / "Search.json", files / "Groups.json"]}
    given |= {"scores": files / "scores.tsv", "significance": files / "significance.tsv"}
    given |= {"audits": [files / "audit.json"], "leakage": files / "leakage.json"}
    release_model(check(ReleaseSettings, settings, "release.yaml"), model, files / "release", **given)
    written = yaml.safe_load((files / "release" / "README.md").read_text().split("---")[1])["model-index"][0]["results"]
    assert [result["dataset"]["type"] for result in written] == ["local/Search", "local/Groups"]
    assert [len(result["metrics"]) for result in written] == [1, 1]


def test_card_tells_scores_data_prompts_and_settings(files, model):
    text = (release(files, model) / "README.md").read_text()
    row = (
        "| Search | Retrieval | nDCG@10 | 0.661 | 0.771 (0.733 to 0.801) | +0.110 (+0.080 to +0.140) | < 0.001 |"
        " better |"
    )
    assert row in text
    assert "| Groups | Clustering | V-measure | – | 0.500 | – | – |  |" in text
    assert "- No interval: Groups (V-measure is not a mean over texts)." in text
    assert "all 1 comparisons" not in text and "The recipe makes one comparison only." in text
    assert "| pairs | letters | eng-Latn | cc-by-4.0 (a \\| b) | 2,013 |" in text
    assert "| Recipe | follows C-Pack (arXiv 2309.07597) |" in text
    assert "letters is the data of mteb's NQ, FEVER: on these tasks the model is not zero-shot." in text
    assert "pairs: 2,013 of 2,100 rows kept; 87 dropped (query too long)" in text
    assert "During stage contrastive, 1,234 negatives that had become easy were replaced, first after step 200" in text
    assert "stage other" not in text
    assert "| `find \\| the answer: ` | `query` |" in text
    assert "| none | `document`, `BitextMining`, " in text
    assert 'pip install "sentence-transformers>=5.0"' in text
    assert "| Precision | float32," in text
    assert "| Stored as | float32 |" in text
    assert re.search(
        r"gives the evaluated\nembeddings in all 1 tasks: on probes they differ by \de-0[6-9] at most", text
    )
    assert "model.encode_query(" in text
    assert "model.encode_document(" in text
    assert "temperature: 0.0375" in text
    assert "temperature: 0.0475" not in text
    assert "null" not in text and "learning_rate" not in text  # a default
    assert "split is" not in text  # a row of another split was not dropped
    assert re.search(r"Made on \d{4}-\d\d-\d\d by Ascent \d+\.\d+\.\d+.*, with torch \d", text)
    assert "letters (400 test texts)" in text
    assert "![" in text


def test_card_tells_what_matched_and_what_it_is_zero_shot_on(files, model):
    """Of the data that the released model learnt from: `unused` is another stage's."""
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["evaluate"]["benchmarks"] = ["NanoBEIR"]
    entry = {
        "action": "report",
        "of_tested": 400,
        "examples": [{"training": "a secret", "test": "secret", "score": 1.0}],
    }
    ledger = [
        entry | {"dataset": "pairs", "task": "SciFact", "texts": "test", "method": "ngram", "rows": 1200, "tested": 30},
        entry | {"dataset": "pairs", "task": "letters", "texts": "test", "method": "ngram", "rows": 2000, "tested": 1},
        entry | {"dataset": "unused", "task": "SciFact", "texts": "test", "method": "hash", "rows": 77, "tested": 30},
        entry | {"dataset": "pairs", "task": "letters", "texts": "documents", "method": "hash", "rows": 1, "tested": 1},
        entry | {"dataset": "pairs", "task": "NQ", "texts": "documents", "method": "hash", "rows": 1, "tested": 1},
    ]
    leakage = json.loads((files / "leakage.json").read_text()) | {"ledger": ledger}
    (files / "leakage.json").write_text(json.dumps(leakage))
    folder = release(files, model, settings)
    text = (folder / "README.md").read_text()
    assert "- Texts that are equal but for markup, case, white space and punctuation: none.\n" in text
    shared = "2,000 rows of pairs have 1 of letters's; 1,200 rows of pairs have 30 of SciFact's.\n"
    assert f"- Texts that share at least 50% of their 13-grams: {shared}" in text
    assert "- Texts with a similarity of at least 0.8: none.\n" in text
    assert "pairs has documents or labels of letters, NQ by one of these comparisons.\n" in text
    assert "pairs has texts of mteb's SciFact, which its corpus does not name as its data.\n" in text
    # Of NanoBEIR's 13 tasks, NQ and FEVER: the corpus is their data.
    assert "Zero-shot on 84 % of NanoBEIR, by mteb's rule: not on NanoFEVERRetrieval, NanoNQRetrieval.\n" in text
    assert "mteb does not know what sentence-transformers/tiny learnt from" in text
    assert "secret" not in (folder / "provenance/leakage.json").read_text()
    (meta,) = (folder / "results").rglob("model_meta.json")
    assert json.loads(meta.read_text())["training_datasets"] == ["FEVER", "NQ"]


@pytest.mark.slow
def test_card_tells_instructions_by_task(files, model, tmp_path):
    (tmp_path / "instructed").mkdir()
    template = "Instruct: {instruction}\nQuery: {text}"
    prompts = {"query": {"retrieval": "Find it", "NFCorpus": ["Heal|me", "Cure me"]}}
    contract = Contract(max_tokens=32, templates={"query": template}, task_prompts="mteb", prompts=prompts)
    save_like(model, load_file(model / "model.safetensors"), contract, {}, tmp_path / "instructed")
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["data"]["pairs"]["prompts"] = {"query": ["Ask", "Tell me"], "document": "text: "}
    settings["corpora"]["letters"]["reader"]["columns"] = {"query_prompt": "how"}
    text = (release(files, tmp_path / "instructed", settings) / "README.md").read_text()
    assert "| `Instruct: Find it\\nQuery: ` | `query` |" in text
    assert "| `Instruct: Heal\\|me\\nQuery: ` | `NFCorpus-query` |" in text
    assert "ARCChallenge" not in text
    assert f"{len(tasks_with_prompts()) - 1} more of mteb's own prompts" in text
    assert "An instruction of your own stands before a query as in `Instruct: {instruction}\\nQuery: {text}`." in text
    assert "Before the queries of pairs stood, in training, one of `Ask`, `Tell me`.\n" in text
    assert "Before the documents of pairs stood, in training, `text: `.\n" in text
    assert "Rows of pairs may have prompts of their own, which come with the corpus.\n" in text


@pytest.mark.parametrize(
    "reader",
    [
        {"type": "text", "documents": {"train": ["*.md"]}},
        {"type": "sentence_transformers", "pairs": {"train": ["*.jsonl"]}, "columns": ["a", "b"]},
    ],
    ids=["text", "sentence_transformers"],
)
def test_a_corpus_whose_reader_has_other_columns_has_a_card(files, model, reader):
    settings = copy.deepcopy(SETTINGS)
    settings["corpora"]["letters"]["reader"] = reader
    assert "prompts of their own" not in (release(files, model, settings) / "README.md").read_text()


def test_a_card_without_a_base_has_no_column_of_differences(files, model):
    (files / "scores.tsv").write_text("".join(line + "\n" for line in SCORES.splitlines() if "\tbase\t" not in line))
    (files / "significance.tsv").write_text(SIGNIFICANCE.splitlines()[0] + "\n")
    text = (release(files, model) / "README.md").read_text()
    assert "| Task | Type | Metric | This model |\n" in text
    assert "| Search | Retrieval | nDCG@10 | 0.771 (0.733 to 0.801) |\n" in text
    assert "Difference" not in text and "base model;" not in text


def test_card_of_a_rounded_merge_tells_its_weights_and_its_parent(files, model, tmp_path):
    """bfloat16 weights: mteb reads that embeddings are float32, since they are computed so, here and by who loads the
    folder."""
    state = {name: tensor.bfloat16() for name, tensor in load_file(model / "model.safetensors").items()}
    (tmp_path / "rounded").mkdir()
    save_like(model, state, Contract(max_tokens=32, prompts=PROMPTS), {}, tmp_path / "rounded")
    row = "toy\tmerge\tcontrastive\tSearch\tndcg_at_10\t0.02\t0.01\t0.03\t-0.01\t0.05\t0.1\t0.3\t400\t\n"
    (files / "significance.tsv").write_text(SIGNIFICANCE + row)
    choice = {"kind": "weights", "stage": "merge", "dataset": "held", "metric": "ndcg_at_10", "score": 0.4312}
    choice |= {
        "parents": {"base": 0.1, "contrastive": 0.42},
        "chosen": {"base": 0.25, "contrastive": 0.75},
        "tried": [{}] * 11,
    }
    (files / "audit.json").write_text(json.dumps(choice))
    folder = release(files, tmp_path / "rounded")
    text = (folder / "README.md").read_text()
    assert (
        "| Stored as | bfloat16: what was evaluated are the weights rounded to it, computed with in float32 |" in text
    )
    assert "This model against its parent contrastive (stages" in text
    assert "| Search | +0.020 (\u22120.010 to +0.050) | 0.300 | no clear difference |" in text
    assert "+0.110 (+0.080 to +0.140)" in text  # of the base
    told = (
        "The weights of merge (0.25 base, 0.75 contrastive) were chosen among 11 mixtures by nDCG@10 on held:"
        " 0.431; its"
    )
    assert f"{told} parents have base 0.100, contrastive 0.420. Source: [audit.json](provenance/audit.json)." in text
    assert (folder / "model.safetensors").stat().st_size < 0.6 * (model / "model.safetensors").stat().st_size
    (meta,) = (folder / "results").rglob("model_meta.json")
    assert ModelMeta.model_validate_json_resolved(meta.read_text()).output_dtypes == OutputDType.FLOAT32
    plain = open_as_mteb(folder, Encoder(folder, precision="float32")).model
    assert {weight.dtype for weight in plain.parameters()} == {torch.float32}


def test_a_merge_before_the_released_stage_is_compared_with_its_parent_too(tmp_path):
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["stages"]["rounded"] = {"type": "bfloat16", "from": ["merge"]}
    settings["recipe"]["evaluate"]["stages"].append("rounded")
    settings["recipe"]["release"]["stage"] = "rounded"
    row = SIGNIFICANCE.splitlines()[1]
    rows = [
        row.replace("\tmerge\tbase", f"\t{stage}\t{parent}")
        for stage, parent in (("merge", "other"), ("rounded", "merge"))
    ]
    (tmp_path / "significance.tsv").write_text("\n".join([SIGNIFICANCE + row, *rows]) + "\n")
    found = merged_stages(check(ReleaseSettings, settings, "release.yaml"), tmp_path / "significance.tsv")
    assert list(found) == [("rounded", "merge"), ("merge", "other")]


def test_card_says_what_could_not_be_tested(files, model):
    reason = "5 queries cannot tell any difference among 2 comparisons; evaluate at least 7"
    row = "toy\tmerge\tbase\tSearch\tndcg_at_10\t0.1099\t0.09\t0.13\t\t\t\t\t5\t" + reason
    (files / "significance.tsv").write_text(SIGNIFICANCE.splitlines()[0] + "\n" + row + "\n")
    text = (release(files, model) / "README.md").read_text()
    assert "| 0.661 | 0.771 (0.733 to 0.801) | +0.110 | – | not tested |" in text
    assert f"- Not tested: Search ({reason})." in text


@pytest.mark.slow
def test_card_tells_the_teachers_of_the_released_stage(files, model):
    assert "Licence |\n|---|---|---|---|\n| contrastive" not in (release(files, model) / "README.md").read_text()
    settings = copy.deepcopy(SETTINGS)
    settings["models"]["judge"] = settings["models"]["tiny"] | {"licence": "cc-by-nc-4.0", "upstream": "team/judge"}
    for stage in ("contrastive", "other"):
        settings["recipe"]["stages"][stage] |= {
            "objective": "margin_mse",
            "teacher": {"model": "judge", "type": "cross-encoder"},
        }
    text = (release(files, model, settings) / "README.md").read_text()
    assert "| contrastive | team/judge | cross-encoder | cc-by-nc-4.0 |" in text
    assert "| other | team/judge" not in text
    assert "The licences of the training data and the teachers above" in text
    settings["recipe"]["stages"]["contrastive"]["teacher"] = {"type": "stored"}
    text = (release(files, model, settings) / "README.md").read_text()
    assert "| contrastive | scores stored in the training data | stored | see the training data |" in text


@pytest.mark.parametrize(
    ("licence", "front", "mtebs"),
    [
        ("apache-2.0", {"license": "apache-2.0"}, "apache-2.0"),
        ("bsd-2-clause", {"license": "bsd-2-clause"}, "https://spdx.org/licenses/BSD-2-Clause.html"),
        ("research-only", {"license": "other", "license_name": "research-only"}, None),
    ],
)
def test_the_licence_is_read_back_by_mteb_and_the_hub(files, model, licence, front, mtebs):
    from mteb.models.model_meta import ModelMeta

    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["release"] |= {"licence": licence, "licence_reason": "the letters' owner agreed"}
    folder = release(files, model, settings)
    card = ModelCard.load(folder / "README.md")
    assert {key: value for key, value in card.data.to_dict().items() if key.startswith("license")} == front
    assert "| Why this licence | the letters' owner agreed |" in card.text
    (meta,) = (folder / "results" / "team__toy").glob("*/model_meta.json")
    read = ModelMeta.model_validate_json_resolved(meta.read_text())
    assert (read.license, read.name) == (mtebs, "team/toy")


def test_data_sets_have_their_ids_on_the_hub():
    settings = check(ReleaseSettings, SETTINGS, "release.yaml")
    assert [_dataset_path(name, settings) for name in ("Search", "SciFact")] == ["local/Search", "mteb/scifact"]
