"""The recipe `retromae` on a small model of random weights, which has not seen text before: what does pre-training add?

    snakemake --cores 2 results/corpora/insuranceqa/documents-00000-of-00001.parquet
    python tests/benchmarks/pretraining.py FOLDER
    snakemake --cores 2 --configfile FOLDER/config.yaml -- results/scratch/scores.tsv
    python tests/benchmarks/pretraining.py FOLDER --compare

The first call makes the model, its tokenizer trained on the corpus's texts of the training split, a configuration and a
recipe; the second prints the score of each stage, and the difference of `pretrained` from `direct` with its interval,
query by query."""

import argparse
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))


def make(options: argparse.Namespace) -> None:
    """Write model, configuration and recipe."""
    import polars as pl
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = options.folder.resolve()
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    texts = pl.read_parquet(options.documents).filter(pl.col("split") == "train")["text"].to_list()
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(texts, vocab_size=options.vocabulary, show_progress=False)
    tokenizer.save_model(str(model))
    BertTokenizerFast(vocab=str(model / "vocab.txt"), model_max_length=128).save_pretrained(model)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 32,
        intermediate_size=4 * options.width,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(model)

    recipe = yaml.safe_load((ROOT / "config" / "recipes" / "retromae.yaml").read_text())
    recipe["base"]["model"] = "scratch"
    recipe["stages"]["pretrain"] |= {"epochs": options.epochs, "learning_rate": 1e-3}
    for stage in ("direct", "pretrained"):
        recipe["stages"][stage] |= {"epochs": options.contrastive_epochs, "learning_rate": 1e-3}
    recipe["evaluate"]["stages"] = ["direct", "pretrained"]
    (folder / "scratch.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    source = {"type": "files", "paths": [str(model)]}
    changes = {
        "recipes": ["scratch"],
        "recipe_folder": str(folder),
        "models": {"scratch": {"source": source, "licence": "apache-2.0"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(changes, sort_keys=False))


def compare(folder: Path) -> None:
    """Print what the stages reached, and how far they are apart."""
    from ascent.evaluation.comparison import compare_stages, read_table

    results = [Path(f"results/scratch/{stage}/mteb/InsuranceQARetrieval.json") for stage in ("direct", "pretrained")]
    compare_stages(results, folder / "scores.tsv", folder / "significance.tsv", "direct")
    for row in [*read_table(folder / "scores.tsv"), *read_table(folder / "significance.tsv")]:
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the material is written")
    parser.add_argument("--compare", action="store_true", help="print what came out")
    parser.add_argument(
        "--documents", type=Path, default=Path("results/corpora/insuranceqa/documents-00000-of-00001.parquet")
    )
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=3, help="of pre-training")
    parser.add_argument("--contrastive-epochs", type=float, default=2)
    options = parser.parse_args()
    if options.compare:
        compare(options.folder)
    else:
        make(options)


if __name__ == "__main__":
    main()
