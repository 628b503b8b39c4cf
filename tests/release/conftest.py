"""What the tests of the card and of the released folder share."""

import json

import pytest
from safetensors.torch import load_file

from ascent.model.saving import save_like
from ascent.settings.model import Contract
from support.toy_release import PROMPTS, SCORES, SIGNIFICANCE


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
    leakage = {"splits": ["test"], "training": {}, "evaluation": {"letters": {"texts": 400}}, "ledger": []}
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
