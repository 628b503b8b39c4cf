"""The released folder: a model that loads plainly and embeds the same, its results, and what is refused."""

import copy
import json
import os
import re
import shutil

import numpy as np
import pytest
from mteb.models.model_meta import ModelMeta
from mteb.types import OutputDType
from safetensors.torch import load_file, save_file

from ascent.errors import AscentError
from ascent.model.encoder import Encoder
from ascent.model.heads import module_paths
from ascent.model.saving import save_new
from ascent.release.assemble import write_meta
from ascent.release.parity import check_outputs, open_as_mteb
from ascent.settings.model import Contract
from ascent.settings.validation import check
from support.tiny_models import make_architecture, make_tokenizer
from support.toy_release import PROMPTS, SCORES, SETTINGS, release


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
    assert shipped == audit | {
        "filters": [{k: v for k, v in step.items() if k != "examples"} for step in audit["filters"]]
    }
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


def test_released_folder_loads_plainly_and_embeds_the_same(files, model):
    from sentence_transformers import SentenceTransformer

    folder = release(files, model)
    plain = SentenceTransformer(str(folder), device="cpu")
    ours = Encoder(model, precision="float32").encode(["a b"], side="query", task="retrieval")
    assert np.abs(plain.encode(["a b"], prompt_name="query") - ours).max() < 1e-5
    assert plain.similarity_fn_name == "cosine"


@pytest.mark.slow
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
    assert (
        "truncated. Trained with queries of up to 12 and documents of up to 24 tokens; evaluated as released |" in text
    )
    assert "- Texts are truncated to 24 tokens" in text


def test_a_layer_that_sentence_transformers_lacks_is_said_to_need_trust(files, tiny_resource, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    heads = {"latent_attention": {"latents": 6, "heads": 4}, "projection": {"dimension": 12}}
    save_new(tiny_resource, Contract(max_tokens=32, heads=heads), {}, folder)
    text = (release(files, folder) / "README.md").read_text()
    assert 'SentenceTransformer("team/toy", trust_remote_code=True)' in text
    assert (
        "which defines a layer that sentence-transformers does not have:\n`latent_attention.py`. Read it before you"
        " run it." in text
    )
    assert (
        "| Head | latent attention (latents: 6, heads: 4) |\n| Head | projection (dimension: 12, bias: False) |" in text
    )
    assert "| Dimension | 12 |" in text


def test_outputs_beside_the_embedding_are_told(files, tiny_resource, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    heads = {"lexical": {}, "multi_vector": {"dimension": 6}}
    save_new(tiny_resource, Contract(max_tokens=32, heads=heads), {}, folder)
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["base"]["heads"] = heads
    settings["recipe"]["evaluate"]["tasks"]["Search"]["rank_by"] = {"dense": 1, "multi_vector": 0.5}
    text = (release(files, folder, settings) / "README.md").read_text()
    assert "| Head | lexical |\n| Head | multi vector (dimension: 6) |" in text
    assert "| Dimension | 32 |" in text
    assert (
        "with a weight (`lexical_weights`) and a vector (`multi_vectors`, to be scaled to length 1) per token of"
        in text
    )
    assert "Search ranks by 1.0 x dense + 0.5 x multi-vector score, not by the embedding alone." in text


def test_results_lie_as_in_mtebs_repository(files, model):
    folder = release(files, model)
    (meta,) = (folder / "results" / "team__toy").glob("*/model_meta.json")
    found = json.loads(meta.read_text())
    assert (found["name"], found["revision"]) == ("team/toy", meta.parent.name)
    assert found["revision"] == Encoder(model).digest[:40]
    assert set(found) == set(ModelMeta.create_empty().to_dict())
    read = ModelMeta.model_validate_json_resolved(meta.read_text())
    # The release's languages, not those of the corpora, one of which could be evaluated only.
    assert (read.languages, read.license, read.output_dtypes) == (
        ["deu-Latn", "eng-Latn"],
        "apache-2.0",
        OutputDType.FLOAT32,
    )
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
    contract = check(
        Contract, {"max_tokens": 32, "prompts": PROMPTS, "heads": {"lexical": {}, "multi_vector": {}}}, "x"
    )
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


def test_stage_without_scores_is_refused(files, model):
    (files / "scores.tsv").write_text("\n".join(SCORES.splitlines()[:2]) + "\n")
    with pytest.raises(AscentError, match=r"scores.tsv: has no row of the stage 'merge'"):
        release(files, model)
    assert not (files / "release").exists()
