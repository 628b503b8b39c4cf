"""The release: a card that the hub's own parser reads, numbers from their files, and a model that loads plainly."""

import copy
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from mteb.models.model_meta import ModelMeta
from mteb.types import OutputDType
from safetensors.torch import load_file, save_file

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.model.heads import module_paths
from ascent.model.saving import save_like, save_new
from ascent.release.assemble import release_model, write_meta
from ascent.release.card import _dataset_path, merged_stages
from ascent.release.parity import check_outputs, open_as_mteb
from ascent.settings.model import Contract
from ascent.settings.mteb_tasks import tasks_with_prompts
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import check
from support.tiny_models import make_architecture, make_tokenizer

PROMPTS = {"query": {"default": "", "retrieval": "find | the answer: "}}
SCORES = """recipe\tstage\ttask\ttype\tmetric\tscore\tlow\thigh\treason
toy\tbase\tSearch\tRetrieval\tndcg_at_10\t0.661300\t0.620000\t0.700000\t
toy\tmerge\tSearch\tRetrieval\tndcg_at_10\t0.771200\t0.733000\t0.801000\t
toy\tmerge\tGroups\tClustering\tv_measure\t0.500000\t\t\tV-measure is no mean over texts
"""
SIGNIFICANCE = """recipe\tstage\tbaseline\ttask\tmetric\tdifference\tlow\thigh\
\tlow_adjusted\thigh_adjusted\tp_value\tp_adjusted\tunits\treason
toy\tmerge\tbase\tSearch\tndcg_at_10\t0.109900\t0.090000\t0.130000\t0.080000\t0.140000\t0.000200\t0.000400\t400\t
"""
SETTINGS = {
    "name": "toy",
    "recipe": {
        "paper": {"system": "C-Pack", "arxiv": "2309.07597"},
        "base": {"model": "tiny", "max_tokens": 32},
        "data": {"pairs": {"corpus": "letters"}, "unused": {"corpus": "letters"}},
        "stages": {
            "contrastive": {"objective": {"infonce": {"temperature": 0.0375}}, "data": ["pairs"]},
            "other": {"objective": {"infonce": {"temperature": 0.0475}}, "data": ["unused"]},
            "merge": {"from": ["base", "contrastive"], "type": "linear", "weights": [1, 3]},
        },
        "evaluate": {
            "stages": ["base", "merge"],
            "tasks": {"Search": {"type": "retrieval", "corpus": "letters"}},
        },
        "release": {
            "stage": "merge",
            "name": "team/toy",
            "licence": "apache-2.0",
            "languages": ["en", "de"],
            "summary": "A toy.",
        },
    },
    "corpora": {
        "letters": {
            "source": {"type": "files", "paths": ["x"]},
            "reader": {"pairs": {}},
            "licence": "cc-by-4.0",
            "licence_note": "a | b",
            "mteb_tasks": ["NQ", "FEVER"],
            "language": "eng-Latn",
        },
    },
    "models": {
        "tiny": {
            "source": {"type": "files", "paths": ["x"]},
            "licence": "mit",
            "upstream": "sentence-transformers/tiny",
        }
    },
}


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "model"
    state = load_file(tiny_model / "model.safetensors")
    save_like(tiny_model, state, Contract(max_tokens=32, prompts=PROMPTS), {}, folder)
    return folder


@pytest.fixture
def files(tmp_path):
    others = {"split is test, not train": 400}
    steps = [
        {"filter": "select", "in": 2500, "changed": 0, "dropped": others, "kept": 2100, "examples": {}},
        {"filter": "length", "in": 2100, "changed": 0, "dropped": {"query too long": 87}, "kept": 2013, "examples": {}},
    ]
    audit = {"kind": "pairs", "dataset": "pairs", "corpus": "letters", "filters": steps, "in": 2500, "kept": 2013}
    task = {
        "task_name": "Search",
        "dataset_revision": "abc",
        "scores": {"test": [{"main_score": 0.7712, "hf_subset": "default"}]},
    }
    leakage = {"splits": ["test"], "training": {}, "evaluation": {"letters": {"texts": 400}}, "leaked": 0}
    for name, value in {
        "audit": audit | {"dropped": others | {"query too long": 87}},
        "Search": task,
        "leakage": leakage,
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    check = {"judged": 500, "exhausted": 0}
    checks = [{"step": 100, "replaced": 0, **check}, {"step": 200, "replaced": 1234, **check}]
    for stage in ("contrastive", "other"):
        (tmp_path / stage).mkdir()
        replacements = {
            "kind": "replacements",
            "stage": stage,
            "judged": 1000,
            "replaced": 1234,
            "exhausted": 0,
            "checks": checks,
            "examples": {},
        }
        (tmp_path / stage / "replacements.json").write_text(json.dumps(replacements))
    (tmp_path / "scores.tsv").write_text(SCORES)
    (tmp_path / "significance.tsv").write_text(SIGNIFICANCE)
    (tmp_path / "radar.png").write_bytes(b"png")
    return tmp_path


def release(files, model, settings=None):
    release_model(
        check(ReleaseSettings, settings or SETTINGS, "release.yaml"),
        model,
        files / "release",
        radar=files / "radar.png",
        results=[files / "Search.json"],
        scores=files / "scores.tsv",
        significance=files / "significance.tsv",
        audits=[files / name for name in ("audit.json", "contrastive/replacements.json", "other/replacements.json")],
        leakage=files / "leakage.json",
    )
    return files / "release"


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


def test_two_tasks_of_one_corpus_are_two_results(files, model, monkeypatch):
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["evaluate"]["tasks"]["Groups"] = {"type": "retrieval", "corpus": "letters", "queries": 2}
    monkeypatch.setitem(globals(), "SETTINGS", settings)
    task = json.loads((files / "Search.json").read_text()) | {"task_name": "Groups"}
    (files / "Groups.json").write_text(json.dumps(task))
    given = {"radar": files / "radar.png", "results": [files / "Search.json", files / "Groups.json"]}
    given |= {"scores": files / "scores.tsv", "significance": files / "significance.tsv"}
    given |= {"audits": [files / "audit.json"], "leakage": files / "leakage.json"}
    release_model(check(ReleaseSettings, SETTINGS, "release.yaml"), model, files / "release", **given)
    written = yaml.safe_load((files / "release" / "README.md").read_text().split("---")[1])["model-index"][0]["results"]
    assert [result["dataset"]["type"] for result in written] == ["local/Search", "local/Groups"]
    assert [len(result["metrics"]) for result in written] == [1, 1]


def test_card_tells_scores_data_prompts_and_settings(files, model):
    text = (release(files, model) / "README.md").read_text()
    row = "| Search | Retrieval | nDCG@10 | 0.661 | 0.771 (0.733 to 0.801) | +0.110 (+0.080 to +0.140) | < 0.001 | better |"
    assert row in text
    assert "| Groups | Clustering | V-measure | – | 0.500 | – | – |  |" in text
    assert "- No interval: Groups (V-measure is no mean over texts)." in text
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
    assert re.search(r"gives the evaluated\nembeddings in all 1 tasks: on probes they differ by \de-0[6-9] at most", text)
    assert "model.encode_query(" in text
    assert "model.encode_document(" in text
    assert "temperature: 0.0375" in text
    assert "temperature: 0.0475" not in text
    assert "null" not in text and "learning_rate" not in text  # a default
    assert "split is" not in text  # a row of another split was not dropped
    assert re.search(r"Made on \d{4}-\d\d-\d\d by Ascent \d+\.\d+\.\d+.*, with torch \d", text)
    assert "letters (400 texts)" in text
    assert "![" in text


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


def test_a_card_without_a_base_has_no_column_of_differences(files, model):
    (files / "scores.tsv").write_text("".join(line + "\n" for line in SCORES.splitlines() if "\tbase\t" not in line))
    (files / "significance.tsv").write_text(SIGNIFICANCE.splitlines()[0] + "\n")
    text = (release(files, model) / "README.md").read_text()
    assert "| Task | Type | Metric | This model |\n" in text
    assert "| Search | Retrieval | nDCG@10 | 0.771 (0.733 to 0.801) |\n" in text
    assert "Difference" not in text and "base model;" not in text


def test_card_of_a_rounded_merge_tells_its_weights_and_its_parent(files, model, tmp_path):
    """bfloat16 weights: mteb reads that embeddings are float32, since they are computed so, here and by who loads the folder."""
    state = {name: tensor.bfloat16() for name, tensor in load_file(model / "model.safetensors").items()}
    (tmp_path / "rounded").mkdir()
    save_like(model, state, Contract(max_tokens=32, prompts=PROMPTS), {}, tmp_path / "rounded")
    row = "toy\tmerge\tcontrastive\tSearch\tndcg_at_10\t0.02\t0.01\t0.03\t-0.01\t0.05\t0.1\t0.3\t400\t\n"
    (files / "significance.tsv").write_text(SIGNIFICANCE + row)
    choice = {"kind": "weights", "stage": "merge", "dataset": "held", "metric": "ndcg_at_10", "score": 0.4312}
    choice |= {"parents": {"base": 0.1, "contrastive": 0.42}, "chosen": {"base": 0.25, "contrastive": 0.75}, "tried": [{}] * 11}
    (files / "audit.json").write_text(json.dumps(choice))
    folder = release(files, tmp_path / "rounded")
    text = (folder / "README.md").read_text()
    assert "| Stored as | bfloat16: what was evaluated are the weights rounded to it, computed with in float32 |" in text
    assert "This model against its parent contrastive (stages" in text
    assert "| Search | +0.020 (\u22120.010 to +0.050) | 0.300 | no clear difference |" in text
    assert "+0.110 (+0.080 to +0.140)" in text  # of the base
    told = "The weights of merge (0.25 base, 0.75 contrastive) were chosen among 11 mixtures by nDCG@10 on held: 0.431; its"
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
    rows = [row.replace("\tmerge\tbase", f"\t{stage}\t{parent}") for stage, parent in (("merge", "other"), ("rounded", "merge"))]
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


def test_every_source_of_the_card_is_in_the_release(files, model):
    audit = json.loads((files / "audit.json").read_text())
    audit["filters"][0]["examples"] = {"query too long": [{"query": "a secret", "positive": "of the corpus"}]}
    (files / "audit.json").write_text(json.dumps(audit))
    folder = release(files, model)
    text = (folder / "README.md").read_text()
    links = dict(re.findall(r"\[([^\]]+)\]\((provenance/[^)]+)\)", text))
    assert links == {
        "scores.tsv": "provenance/scores.tsv",
        "significance.tsv": "provenance/significance.tsv",
        "audit.json": "provenance/audit.json",
        "replacements.json": "provenance/contrastive/replacements.json",
        "leakage.json": "provenance/leakage.json",
    }
    assert len(re.findall("Sources?: ", text)) == len(re.findall(r"Sources?: \[", text)) == 4
    assert (folder / "provenance/scores.tsv").read_bytes() == (files / "scores.tsv").read_bytes()
    shipped = json.loads((folder / "provenance/audit.json").read_text())
    assert shipped == audit | {"filters": [{k: v for k, v in step.items() if k != "examples"} for step in audit["filters"]]}
    assert not any("secret" in file.read_text() for file in (folder / "provenance").rglob("*") if file.is_file())


def test_the_release_is_for_all_and_holds_no_mark_of_snakemake(files, tiny_model, tmp_path):
    source = tmp_path / "model"
    shutil.copytree(tiny_model, source)
    (source / ".snakemake_timestamp").touch()
    (source / "model.safetensors").chmod(0o600)
    umask = os.umask(0o027)
    try:
        folder = release(files, source)
    finally:
        os.umask(umask)
    assert {oct(file.stat().st_mode & 0o777) for file in folder.rglob("*") if file.is_file()} == {"0o640"}
    assert list(folder.rglob(".*")) == []


def test_card_tells_the_teachers_of_the_released_stage(files, model, monkeypatch):
    assert "Licence |\n|---|---|---|---|\n| contrastive" not in (release(files, model) / "README.md").read_text()
    settings = copy.deepcopy(SETTINGS)
    settings["models"]["judge"] = settings["models"]["tiny"] | {"licence": "cc-by-nc-4.0", "upstream": "team/judge"}
    for stage in ("contrastive", "other"):
        settings["recipe"]["stages"][stage] |= {
            "objective": "margin_mse",
            "teacher": {"model": "judge", "type": "cross-encoder"},
        }
    monkeypatch.setitem(globals(), "SETTINGS", settings)
    text = (release(files, model) / "README.md").read_text()
    assert "| contrastive | team/judge | cross-encoder | cc-by-nc-4.0 |" in text
    assert "| other | team/judge" not in text
    assert "The licences of the training data and the teachers above" in text
    settings["recipe"]["stages"]["contrastive"]["teacher"] = {"type": "stored"}
    text = (release(files, model) / "README.md").read_text()
    assert "| contrastive | scores stored in the training data | stored | see the training data |" in text


def test_released_folder_loads_plainly_and_embeds_the_same(files, model):
    from sentence_transformers import SentenceTransformer

    folder = release(files, model)
    plain = SentenceTransformer(str(folder), device="cpu")
    ours = Encoder(model, precision="float32").encode(["a b"], side="query", task="retrieval")
    assert np.abs(plain.encode(["a b"], prompt_name="query") - ours).max() < 1e-5
    assert plain.similarity_fn_name == "cosine"


def test_the_card_says_how_texts_are_read_and_mteb_s_wrapper_reads_them_so(files, corpus_rows, tmp_path):
    texts, folder = [row["positive"] for row in corpus_rows], tmp_path / "model"
    resource = make_architecture(tmp_path / "llama", "llama", make_tokenizer(tmp_path / "tokenizer", "llama", texts))
    folder.mkdir()
    lengths = {"query": 12, "document": 24}
    how = {"pooling": "last", "attention": "causal", "append_eos": True, "padding": "left", "max_tokens": lengths}
    save_new(resource, Contract(prompts=PROMPTS, **how), {}, folder)
    text = (release(files, folder) / "README.md").read_text()  # refuses outputs that differ from mteb's wrapper's
    assert "| End of a text | `</s>`, which the tokenizer appends, to truncated texts, too |" in text
    assert "| Padding | on the left; no embedding depends on it |" in text
    assert "truncated. Trained with queries of up to 12 and documents of up to 24 tokens; evaluated as released |" in text
    assert "- Texts are truncated to 24 tokens" in text


def test_a_layer_that_sentence_transformers_lacks_is_said_to_need_trust(files, tiny_resource, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    heads = {"latent_attention": {"latents": 6, "heads": 4}, "projection": {"dimension": 12}}
    save_new(tiny_resource, Contract(max_tokens=32, heads=heads), {}, folder)
    text = (release(files, folder) / "README.md").read_text()
    assert 'SentenceTransformer("team/toy", trust_remote_code=True)' in text
    assert (
        "which defines a layer that sentence-transformers does not have:\n`latent_attention.py`. Read it before you run it."
        in text
    )
    assert "| Head | latent attention (latents: 6, heads: 4) |\n| Head | projection (dimension: 12, bias: False) |" in text
    assert "| Dimension | 12 |" in text


def test_outputs_beside_the_embedding_are_told(files, tiny_resource, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    heads = {"lexical": {}, "multi_vector": {"dimension": 6}}
    save_new(tiny_resource, Contract(max_tokens=32, heads=heads), {}, folder)
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["base"]["heads"] = heads
    settings["recipe"]["evaluate"]["tasks"]["Search"]["rank_by"] = {"dense": 1, "multi_vector": 0.5}
    monkeypatch.setitem(globals(), "SETTINGS", settings)
    text = (release(files, folder) / "README.md").read_text()
    assert "| Head | lexical |\n| Head | multi vector (dimension: 6) |" in text
    assert "| Dimension | 32 |" in text
    assert "with a weight (`lexical_weights`) and a vector (`multi_vectors`, to be scaled to length 1) per token of" in text
    assert "Search ranks by 1.0 x dense + 0.5 x multi-vector score, not by the embedding alone." in text


@pytest.mark.parametrize(
    ("licence", "front", "mtebs"),
    [
        ("apache-2.0", {"license": "apache-2.0"}, "apache-2.0"),
        ("bsd-2-clause", {"license": "bsd-2-clause"}, "https://spdx.org/licenses/BSD-2-Clause.html"),
        ("research-only", {"license": "other", "license_name": "research-only"}, None),
    ],
)
def test_the_licence_is_read_back_by_mteb_and_the_hub(files, model, monkeypatch, licence, front, mtebs):
    from mteb.models.model_meta import ModelMeta

    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["release"] |= {"licence": licence, "licence_reason": "the letters' owner agreed"}
    monkeypatch.setitem(globals(), "SETTINGS", settings)
    folder = release(files, model)
    card = ModelCard.load(folder / "README.md")
    assert {key: value for key, value in card.data.to_dict().items() if key.startswith("license")} == front
    assert "| Why this licence | the letters' owner agreed |" in card.text
    (meta,) = (folder / "results" / "team__toy").glob("*/model_meta.json")
    read = ModelMeta.model_validate_json_resolved(meta.read_text())
    assert (read.license, read.name) == (mtebs, "team/toy")


def test_results_lie_as_in_mtebs_repository(files, model):
    folder = release(files, model)
    (meta,) = (folder / "results" / "team__toy").glob("*/model_meta.json")
    found = json.loads(meta.read_text())
    assert (found["name"], found["revision"]) == ("team/toy", meta.parent.name)
    assert found["revision"] == Encoder(model).digest[:40]
    assert set(found) == set(ModelMeta.create_empty().to_dict())
    read = ModelMeta.model_validate_json_resolved(meta.read_text())
    # The release's languages, not those of the corpora, one of which could be evaluated only.
    assert (read.languages, read.license, read.output_dtypes) == (["deu-Latn", "eng-Latn"], "apache-2.0", OutputDType.FLOAT32)
    assert (meta.parent / "Search.json").read_bytes() == (files / "Search.json").read_bytes()


def test_other_embeddings_are_refused(model, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(model, folder)
    encoder = Encoder(model, precision="float32")
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    settings["prompts"]["query"] = "another prompt: "
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    with pytest.raises(AscentError, match=r"embeddings \(query\) differ by .* build the model again"):
        check_outputs(folder, encoder, open_as_mteb(folder, encoder).model)


def test_other_outputs_beside_the_embedding_are_refused(tiny_resource, tmp_path):
    """Which the embedding does not show."""
    contract = check(Contract, {"max_tokens": 32, "prompts": PROMPTS, "heads": {"lexical": {}, "multi_vector": {}}}, "x")
    (tmp_path / "model").mkdir()
    save_new(tiny_resource, contract, {}, tmp_path / "model")
    encoder = Encoder(tmp_path / "model", precision="float32")
    check_outputs(tmp_path / "model", encoder, open_as_mteb(tmp_path / "model", encoder).model)
    file = tmp_path / "model" / module_paths(tmp_path / "model")["multi_vector"] / "model.safetensors"
    save_file({name: tensor + 1e-3 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(AscentError, match=r"multi_vector \(document\) differ by .* build the model again"):
        check_outputs(tmp_path / "model", encoder, open_as_mteb(tmp_path / "model", encoder).model)


def test_what_mteb_cannot_read_back_is_refused(tmp_path):
    meta = ModelMeta.create_empty({"name": "team/toy", "license": "internal"})
    with pytest.raises(AscentError, match=r"model_meta.json: mteb cannot read back license = 'internal'"):
        write_meta(tmp_path / "model_meta.json", meta)
    assert not (tmp_path / "model_meta.json").exists()


def test_data_sets_have_their_ids_on_the_hub():
    settings = check(ReleaseSettings, SETTINGS, "release.yaml")
    assert [_dataset_path(name, settings) for name in ("Search", "SciFact")] == ["local/Search", "mteb/scifact"]


def test_stage_without_scores_is_refused(files, model):
    (files / "scores.tsv").write_text("\n".join(SCORES.splitlines()[:2]) + "\n")
    with pytest.raises(AscentError, match=r"scores.tsv: has no row of the stage 'merge'"):
        release(files, model)
    assert not (files / "release").exists()
