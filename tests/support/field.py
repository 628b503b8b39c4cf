"""What the recipes of config/recipes run on at trial size, without a hub: small corpora of each type of rows, and a
tiny model of each architecture."""

import json
from itertools import pairwise
from pathlib import Path

import yaml

from .small_recipe import corpus_rows, make_workspace
from .tiny_models import DECODERS, make_architecture, make_tokenizer

# The architectures of the recipes' models, as transformers calls them.
ARCHITECTURES = ("bert", "xlm-roberta", "modernbert", "t5", "llama", "mistral", "qwen2", "qwen3", "gemma3_text")
CORPORA = {"retrieval": "judged", "sts": "graded", "classification": "modules", "clustering": "grouped"}
SPLITS = ("train", "validation", "test")


def make_field(folder: Path, *architectures: str) -> Path:
    """Make the small recipe's folder, with corpora for every type of rows and tiny models; return its config file."""
    config_file = make_workspace(folder)
    config = yaml.safe_load(config_file.read_text())
    rows = corpus_rows()
    # The small recipe's splits; a query that stands in two would be a test text in the training data.
    parts, seen = (rows[0::2], rows[1::4], rows[3::4]), set()
    for split, whole in zip(SPLITS, parts, strict=True):
        part = [row for row in whole if row["query"] not in seen]
        seen |= {row["query"] for row in part}
        judged = [
            {**row, "negatives": [part[i - 1]["positive"], part[i - 2]["positive"]], "high": 0.9, "low": [0.2, 0.1]}
            for i, row in enumerate(part)
        ]
        graded = [
            {"first": a["query"], "second": b["query"], "score": 5.0 * (a["module"] == b["module"])}
            for a, b in pairwise(part)
        ]
        for name, lines in (("judged", judged), ("graded", graded)):
            (folder / "data" / f"{name}-{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {
        "judged": {"negatives": ["negatives"], "positive_scores": "high", "negative_scores": ["low"]},
        "graded": {"query": "first", "positive": "second", "label": "score"},
    }
    for name, own in columns.items():
        paths = [f"{folder}/data/{name}-{split}.jsonl" for split in SPLITS]
        reader = {"pairs": {split: [f"{name}-{split}.jsonl"] for split in SPLITS}, "columns": own}
        reader |= {"task": "sts"} if name == "graded" else {}
        source = {"type": "files", "paths": paths}
        config["corpora"][name] = {"source": source, "reader": reader, "licence": "psf-2.0", "language": "eng-Latn"}
    config["corpora"]["grouped"] = {**config["corpora"]["modules"], "extract": ["same_class_pairs"]}
    words = _with_words(folder / "model", folder / "words")
    for name in architectures:
        tokenizer = words
        if name in DECODERS:  # which have an end token
            tokenizer = folder / f"{name}-tokenizer"
            make_tokenizer(tokenizer, name, [text for row in rows for text in (row["query"], row["positive"])])
        # The tiny tokenizers know few of the instructions' words, and spell out the others.
        longer = {} if name == "t5" else {"max_position_embeddings": 256}
        # As the smaller models of Qwen 3 are published.
        tied = {"tie_word_embeddings": True} if name == "qwen3" else {}
        make_architecture(folder / name, name, tokenizer, **longer, **tied)
        config["models"][f"tiny-{name}"] = {
            "source": {"type": "files", "paths": [f"{folder}/{name}"]},
            "licence": "mit",
        }
    config |= {"recipe_folder": "config/recipes"}
    config_file.write_text(yaml.safe_dump(config, sort_keys=False))
    return config_file


def _with_words(model: Path, folder: Path) -> Path:
    """Copy a tokenizer to a folder, with the words of instructions that would, spelled out, be longer than a text may
    be."""
    from transformers import BertTokenizerFast

    folder.mkdir()
    known = (model / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(known + "instruct\ninsurance\nretrieve\npassages\n")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def trial_of(architecture: str, **changes) -> dict:
    """Return the settings of a trial on these corpora."""
    small = {"rows": 60, "steps": 3, "batch_size": 16, "max_tokens": 160, "queries": 20}
    return small | {"model": f"tiny-{architecture}", "corpus": CORPORA} | changes
