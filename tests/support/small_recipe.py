"""The small recipe's material: real text from the standard library's documentation, and a tiny model.

`python tests/support/small_recipe.py FOLDER` makes a folder with data, model, config and recipe that the whole
Snakefile runs in seconds."""

import functools
import importlib
import inspect
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# Modules without platform differences, whose functions are documented in sentences.
MODULES = (
    "argparse ast asyncio base64 bisect calendar codecs collections configparser contextlib copy csv ctypes datetime"
    " decimal difflib dis doctest email enum fileinput fnmatch fractions ftplib functools gettext glob gzip heapq html"
    " http imaplib inspect ipaddress itertools json keyword linecache locale logging mailbox math mimetypes numbers"
    " operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib pprint profile queue random re"
    " sched secrets selectors shelve shlex shutil signal smtplib socket sqlite3 statistics string struct subprocess sys"
    " tarfile tempfile textwrap threading timeit tokenize trace traceback types typing unittest urllib.request uuid"
    " warnings wave weakref webbrowser xml.dom.minidom zipfile"
).split()


def corpus_rows(most: int = 400) -> list[dict[str, str]]:
    """Return rows of query (a function's name in words), positive (what its docstring says) and module."""
    rows = _all_rows()
    return list(rows[:: max(1, len(rows) // most)][:most])


@functools.cache
def _all_rows() -> list[dict[str, str]]:
    # By a Python of its own: torch and others replace some of these functions when they are imported.
    done = subprocess.run([sys.executable, "-I", __file__, "--rows"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _read_rows() -> list[dict[str, str]]:
    rows = {}
    for module in MODULES:
        for name, thing in inspect.getmembers(importlib.import_module(module), callable):
            text = " ".join((inspect.getdoc(thing) or "").split())
            if not name.startswith("_") and 40 < len(text) < 1500 and text not in rows:
                words = name.replace("_", " ").lower()
                rows[text] = {
                    "query": f"what does {words} in {module} do",
                    "positive": text,
                    "module": module.split(".")[0],
                }
    return list(rows.values())


def make_model(folder: Path, architecture: str = "bert", labels: int | None = None) -> Path:
    """Make a model folder of random weights: 2 layers, 32 dimensions, a WordPiece tokenizer of the corpus's words.

    labels: with a head for sequence classification; 1 makes a cross-encoder.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in _vocabulary(2000)))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=2000,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        # With BERT's own .02 all scores would be the same to three digits.
        **({"num_labels": labels, "initializer_range": 0.3} if labels else {}),
    )
    (AutoModelForSequenceClassification if labels else AutoModel).from_config(config).save_pretrained(folder)
    return folder


def _vocabulary(size: int) -> list[str]:
    """Special tokens, characters and the most frequent words. (A trained WordPiece vocabulary is another one each
    time.)"""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalise, split = BertNormalizer(lowercase=True), BertPreTokenizer()
    texts = [text for row in corpus_rows() for text in (row["query"], row["positive"])]
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(normalise.normalize_str(text)))
    characters = sorted({character for word in counts for character in word})
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *characters,
        *(f"##{character}" for character in characters),
    ]
    words = sorted(set(counts) - set(characters), key=lambda word: (-counts[word], word))
    return [*tokens, *words][:size]


def make_workspace(folder: Path) -> Path:
    """Make the small recipe's folder; return its config file."""
    rows = corpus_rows()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    third = [rows[0::2], rows[1::4], rows[3::4]]
    for name, part in zip(("train", "validation", "test"), third, strict=True):
        lines = "".join(json.dumps({"query": r["query"], "positive": r["positive"]}) + "\n" for r in part)
        (folder / "data" / f"{name}.jsonl").write_text(lines)
        lines = "".join(
            json.dumps({"query": r["positive"], "positive": r["module"]}) + "\n" for r in _classes(rows, part)
        )
        (folder / "data" / f"classes-{name}.jsonl").write_text(lines)
    pairs = [
        (a["query"], b["query"], float(a["module"] == b["module"]))
        for a, b in zip(third[2], third[2][1:], strict=False)
    ]
    (folder / "data" / "similar.tsv").write_text(
        "first\tsecond\tscore\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in pairs)
    )
    make_model(folder / "model")

    def source(*names: str) -> dict:
        return {"type": "files", "paths": [f"{folder}/data/{name}" for name in names]}

    splits = ("train", "validation", "test")
    common = {"licence": "PSF-2.0", "language": "eng-Latn"}
    config = {
        "recipes": ["small"],
        "recipe_folder": str(folder),
        "corpora": {
            "library": {
                "source": source(*(f"{split}.jsonl" for split in splits)),
                "reader": {"pairs": {split: [f"{split}.jsonl"] for split in splits}},
                **common,
            },
            "modules": {
                "source": source(*(f"classes-{split}.jsonl" for split in splits)),
                "reader": {"pairs": {split: [f"classes-{split}.jsonl"] for split in splits}, "task": "classification"},
                **common,
            },
            "similar": {
                "source": source("similar.tsv"),
                "reader": {
                    "pairs": {"test": ["similar.tsv"]},
                    "columns": {"query": "first", "positive": "second", "label": "score"},
                    "task": "sts",
                },
                **common,
            },
        },
        "models": {"tiny": {"source": {"type": "files", "paths": [f"{folder}/model"]}, "licence": "apache-2.0"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "small.yaml").write_text((Path(__file__).parent / "small.yaml").read_text())
    return folder / "config.yaml"


def _classes(rows: list[dict], part: list[dict]) -> list[dict]:
    # mteb draws 8 texts of each class to train on, so only well-filled classes serve.
    counts: dict[str, int] = {}
    for row in rows[0::2]:
        counts[row["module"]] = counts.get(row["module"], 0) + 1
    common = sorted(counts, key=lambda name: (-counts[name], name))[:4]
    return [row for row in part if row["module"] in common]


if __name__ == "__main__":
    print(json.dumps(_read_rows()) if sys.argv[1] == "--rows" else make_workspace(Path(sys.argv[1]).resolve()))
