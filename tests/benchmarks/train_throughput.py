"""Training speed beside other trainers: the same pairs, model, batch and steps, in turns within one run.

    make bench-train                                   after the data of the demo are there; or by hand:
    python tests/benchmarks/train_throughput.py --model results/demo/base/model \\
      --pairs results/pairs/questions-*/pairs-*.parquet

Libraries: `ascent`; `sentence-transformers` (its trainer, MultipleNegativesRankingLoss); `flagembedding` (its runner),
where it is installed for this Python or for the one of --flagembedding-python. Each round runs every library once, in a
process of its own, for a few steps; the first ones warm up and do not count. Tokenising, as a part of each library's
step or before it, falls where the library puts it. Printed: pairs/s and real tokens/s (median step of all rounds), the
ratio to the fastest other library in the same precision with a bootstrap interval over steps, peak memory; on a GPU the
share of a matmul peak that is measured in the same process."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
RATE, TEMPERATURE = 3e-5, 0.05


class Clock:
    """A transformers callback that notes when each step ends."""

    def __new__(cls):
        from transformers import TrainerCallback

        class Noted(TrainerCallback):
            ends: list[float] = []

            def on_train_begin(self, *_, **__):
                self.ends.append(time.perf_counter())

            def on_step_end(self, *_, **__):
                self.ends.append(time.perf_counter())

        return Noted()


def cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def ascent(options, folder: Path) -> list[float]:
    """Train with the engine; return the seconds of each step."""
    from ascent.model.contract import read_contract
    from ascent.settings.contrastive import Contrastive
    from ascent.settings.model import Contract
    from ascent.settings.stages import StageSettings
    from ascent.settings.training import Running
    from ascent.tokens.tokenise import tokenise_pairs
    from ascent.training.job.preemption import StopRequest
    from ascent.training.loop import Task, train

    contract, _ = read_contract(options.model)
    contract = Contract(**contract.model_dump() | {"max_tokens": options.max_tokens})
    tokenise_pairs(options.model, contract.tokenising("retrieval"), options.pairs, None, folder / "tokens")
    model = _with_contract(options.model, contract, folder / "parent")
    stage = Contrastive(
        objective={"infonce": {"temperature": TEMPERATURE}},
        data=["pairs"],
        batch_size=options.batch,
        epochs=_epochs(options),
        learning_rate=RATE,
        precision=options.precision,
        mini_batch_tokens=options.mini_batch_tokens,
        weight_decay=0,
    )
    train(
        Task(
            settings=StageSettings(recipe="x", name="x", stage=stage, contract=contract, tasks={"pairs": "retrieval"}),
            running=Running(checkpoint_minutes=10_000),
            parent=model,
            tokens={"pairs": folder / "tokens"},
            model=folder / "model",
            metrics=folder / "metrics.jsonl",
            deepspeed=folder / "deepspeed.json",
            revision=1,
        ),
        StopRequest(),
    )
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["seconds"] for line in lines]


def _with_contract(model: Path, contract, folder: Path) -> Path:
    """A copy of a model folder with another contract."""
    import shutil

    from transformers import AutoTokenizer

    from ascent.model.contract import write_contract

    shutil.copytree(model, folder)
    write_contract(folder, contract, AutoTokenizer.from_pretrained(folder), {})
    return folder


def _epochs(options) -> float:
    import polars as pl

    rows = pl.scan_parquet(options.pairs).select(pl.len()).collect().item()
    return options.steps * options.batch / rows


def sentence_transformers(options, folder: Path) -> list[float]:
    """The same by sentence-transformers' trainer."""
    import polars as pl
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(str(options.model))
    model.max_seq_length = options.max_tokens
    rows = pl.read_parquet(options.pairs).select("query", "positive")
    clock = Clock()
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=options.batch,
        max_steps=options.steps,
        learning_rate=RATE,
        warmup_steps=2,
        bf16=options.precision == "bfloat16",
        use_cpu=not cuda(),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(rows.to_dict(as_series=False)),
        loss=MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE),
        callbacks=[clock],
    )
    trainer.train()
    return [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]


def flagembedding(options, folder: Path) -> list[float]:
    """The same by FlagEmbedding's runner."""
    import pyarrow.parquet as parquet
    from FlagEmbedding.finetune.embedder.encoder_only.base import (
        EncoderOnlyEmbedderDataArguments,
        EncoderOnlyEmbedderModelArguments,
        EncoderOnlyEmbedderRunner,
        EncoderOnlyEmbedderTrainingArguments,
    )

    table = parquet.read_table(options.pairs, columns=["query", "positive"]).to_pylist()
    lines = (json.dumps({"query": row["query"], "pos": [row["positive"]], "neg": []}) for row in table)
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    clock = Clock()
    runner = EncoderOnlyEmbedderRunner(
        model_args=EncoderOnlyEmbedderModelArguments(model_name_or_path=str(options.model)),
        data_args=EncoderOnlyEmbedderDataArguments(
            train_data=[str(folder / "pairs.jsonl")],
            train_group_size=1,
            query_max_len=options.max_tokens,
            passage_max_len=options.max_tokens,
            cache_path=str(folder / "cache"),
        ),
        training_args=EncoderOnlyEmbedderTrainingArguments(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=options.batch,
            max_steps=options.steps,
            learning_rate=RATE,
            warmup_steps=2,
            bf16=options.precision == "bfloat16",
            use_cpu=not cuda(),
            temperature=TEMPERATURE,
            sentence_pooling_method="mean",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
    )
    runner.trainer.add_callback(clock)
    runner.run()
    return [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]


LIBRARIES = {"ascent": ascent, "sentence-transformers": sentence_transformers, "flagembedding": flagembedding}


def work(options) -> None:
    """In a process of its own: train, and print what was seen as the last line."""
    import resource

    import torch

    with tempfile.TemporaryDirectory() as folder:
        seconds = LIBRARIES[options.work](options, Path(folder))
    gpu = torch.cuda.is_available()
    memory = torch.cuda.max_memory_allocated() if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds[options.warm :], "memory": memory}))


def run_one(library: str, precision: str, options) -> dict | str:
    """Run a library in a process of its own; return what it saw, or why it could not."""
    python = options.flagembedding_python if library == "flagembedding" else sys.executable
    command = [python, __file__, "--work", library, "--precision", precision]
    for name in ("model", "pairs", "steps", "warm", "batch", "max_tokens", "mini_batch_tokens"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder, as import_base makes it")
    parser.add_argument("--pairs", type=Path, required=True, help="a part of a data set")
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument(
        "--flagembedding-python", default=sys.executable, help="a Python where FlagEmbedding is installed"
    )
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of each round, warm-up included")
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--mini-batch-tokens", type=int, default=16384, help="ascent's")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--work", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    import numpy as np

    seen: dict[tuple[str, str], list[dict]] = {}
    for number in range(options.rounds):
        for precision in options.precisions:
            for library in options.libraries:
                result = run_one(library, precision, options)
                if isinstance(result, str):
                    print(f"round {number + 1}  {precision:9} {library}: left out ({result[:150]})", flush=True)
                    continue
                seen.setdefault((precision, library), []).append(result)
                speed = options.batch / np.median(result["seconds"])
                print(f"round {number + 1}  {precision:9} {library:22} {speed:7.2f} pairs/s", flush=True)
    draw = np.random.default_rng(0)
    tokens = tokens_of_a_pair(options)
    report = []
    print(f"\n{'precision':10}{'library':24}{'pairs/s':>9}{'tokens/s':>10}{'peak MB':>9}   ascent is faster by (95 %)")
    for (precision, library), results in seen.items():
        seconds = np.concatenate([result["seconds"] for result in results])
        line = {
            "precision": precision,
            "library": library,
            "pairs_per_second": options.batch / np.median(seconds),
            "tokens_per_second": tokens * options.batch / np.median(seconds),
            "peak_mb": max(result["memory"] for result in results) / 2**20,
        }
        ours = seen.get((precision, "ascent"))
        if ours and library != "ascent":
            own = np.concatenate([result["seconds"] for result in ours])
            ratios = [
                np.median(draw.choice(seconds, len(seconds))) / np.median(draw.choice(own, len(own)))
                for _ in range(2000)
            ]
            line["ratio"] = float(np.median(seconds) / np.median(own))
            line["low"], line["high"] = np.percentile(ratios, [2.5, 97.5]).tolist()
        words = f"{line['ratio']:.2f} ({line['low']:.2f} to {line['high']:.2f})" if "ratio" in line else ""
        print(
            f"{precision:10}{library:24}{line['pairs_per_second']:9.1f}{line['tokens_per_second']:10.0f}"
            f"{line['peak_mb']:9.0f}   {words}"
        )
        report.append(line)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")


def tokens_of_a_pair(options) -> float:
    """The mean number of tokens of a pair, cut at the longest, without padding."""
    import polars as pl
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    rows = pl.read_parquet(options.pairs).select("query", "positive")
    texts = [*rows["query"], *rows["positive"]]
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=options.max_tokens)["input_ids"]]
    return sum(lengths) / len(rows)


if __name__ == "__main__":
    main()
