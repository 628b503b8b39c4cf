"""A release of toy scores: its settings, its tables, and the call that makes it."""

from ascent.release.assemble import release_model
from ascent.settings.recipe import ReleaseSettings
from ascent.settings.validation import check

PROMPTS = {"query": {"default": "", "retrieval": "find | the answer: "}}
SCORES = """recipe\tstage\ttask\ttype\tmetric\tscore\tlow\thigh\treason
toy\tbase\tSearch\tRetrieval\tndcg_at_10\t0.661300\t0.620000\t0.700000\t
toy\tmerge\tSearch\tRetrieval\tndcg_at_10\t0.771200\t0.733000\t0.801000\t
toy\tmerge\tGroups\tClustering\tv_measure\t0.500000\t\t\tV-measure is not a mean over texts
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
