"""What tests share: a tiny model of random weights, and a corpus of real text made on the spot."""

import os
import sys
from pathlib import Path

import pytest

# Two workers with a thread for each core would wait for each other in every operation. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Steps of the workflow have a thread for each core; waiting ones took nine tenths of a tiny training's CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The files that take minutes, the longest first, so that no worker is left with one of them at the end.
LONG = """
test_workflow.py test_workflow_variants.py test_training.py test_gradients.py test_workflow_elsewhere.py
test_plan_command.py test_overview.py test_pretraining.py test_pretraining_runs.py test_adapters.py
""".split()
# What these give is started, or trains.
SLOW = {"warm_python", "train_here"}


@pytest.hookimpl(tryfirst=True)  # before -m chooses by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory) -> str:
    """A program to call in place of `python`, which starts without the seconds of imports (support/warm.py).

    Where torch sees a GPU it is `python` itself: a fork of what has looked for GPUs cannot use them.
    """
    import torch

    from support.warm import start

    if torch.cuda.is_available():
        return sys.executable
    folder, owner = tmp_path_factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share one
        folder, owner = folder.parent, os.getppid()
    return start(folder / "warm", owner)


@pytest.fixture(scope="module")
def warm_spawn(warm_python):
    """Processes that multiprocessing spawns start warm."""
    import multiprocessing

    multiprocessing.set_executable(warm_python)
    yield
    multiprocessing.set_executable(sys.executable)


@pytest.fixture(scope="session")
def corpus_rows() -> list[dict[str, str]]:
    """Real question-and-answer text of any machine: names of the standard library's functions and what they are for."""
    from support.small_recipe import corpus_rows

    return corpus_rows()


@pytest.fixture(scope="session")
def tiny_resource(tmp_path_factory) -> Path:
    """A model folder as it is retrieved: a BERT of two layers, random weights, with a tokenizer trained on the
    corpus."""
    from support.small_recipe import make_model

    return make_model(tmp_path_factory.mktemp("resource") / "tiny")


@pytest.fixture(scope="session")
def decoder_resource(tiny_resource, tmp_path_factory) -> Path:
    """A causal backbone of random weights, whose output embeddings are its input embeddings."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder = tmp_path_factory.mktemp("decoder") / "llama"
    folder.mkdir()
    for file in tiny_resource.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    torch.manual_seed(0)
    shape = {
        "vocab_size": 2000,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = AutoConfig.for_model("llama", **shape, intermediate_size=64, tie_word_embeddings=True, pad_token_id=0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_resource, tmp_path_factory) -> Path:
    """The same as a stage's model folder, with its contract."""
    from ascent.model.saving import save_new
    from ascent.settings.model import Contract

    contract = Contract(max_tokens=32)
    folder = tmp_path_factory.mktemp("model") / "model"
    folder.mkdir()
    save_new(tiny_resource, contract, {}, folder)
    return folder


@pytest.fixture(scope="session")
def training_contract():
    """The contract that the tests train with."""
    from ascent.settings.model import Contract

    return Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}})


@pytest.fixture(scope="session")
def training_rows(corpus_rows):
    """44 rows of distinct queries, each with one negative."""
    from ascent.pairs.table import Pair

    chosen = list({row["query"]: row for row in corpus_rows}.values())[:44]
    return [Pair(row["query"], row["positive"], (corpus_rows[-i - 1]["positive"],)) for i, row in enumerate(chosen)]


@pytest.fixture(scope="session")
def training_pairs(training_rows, tmp_path_factory):
    """The same as a table."""
    from ascent.pairs.table import pair_frame, write_pairs

    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_pairs(path, pair_frame(training_rows, "questions", "eng-Latn"))
    return path


@pytest.fixture(scope="session")
def tokens_of(tiny_model, training_contract, tmp_path_factory):
    """Tokenise rows, or a table, as a stage with the tests' contract trains on them; return the folder."""
    from ascent.pairs.table import pair_frame, write_pairs
    from ascent.tokens.tokenise import tokenise_pairs

    def _tokens_of(
        rows, *, model=tiny_model, negatives=None, task="retrieval", contract=training_contract, stage=None, **taught
    ) -> Path:
        folder = tmp_path_factory.mktemp("tokens")
        if not isinstance(rows, Path):
            write_pairs(folder / "pairs.parquet", pair_frame(rows, "questions", "eng-Latn"))
            rows = folder / "pairs.parquet"
        tokenising = stage.tokenising(contract, "texts", task) if stage else contract.tokenising(task)
        tokenise_pairs(model, tokenising, rows, negatives, folder / "tokens", **taught)
        return folder / "tokens"

    return _tokens_of


@pytest.fixture(scope="session")
def data_of(tiny_model, training_contract):
    """The data of a stage with the tests' contract and some settings, from folders of tokens by data set."""
    from ascent.files import read_json
    from ascent.settings.contrastive import Contrastive
    from ascent.settings.stages import StageSettings
    from ascent.training.data import TrainingData, open_table

    def _data_of(folders: dict[str, Path], *, tasks=None, contract=training_contract, **settings) -> TrainingData:
        stage = Contrastive(**{"objective": "infonce", "data": list(folders), "batch_size": 8} | settings)
        tasks = dict.fromkeys(folders, "retrieval") | (tasks or {})
        settings = StageSettings(recipe="r", name="s", stage=stage, contract=contract, tasks=tasks)
        digest = read_json(tiny_model / "ascent.json")["tokenizer_digest"]
        return TrainingData(
            {name: open_table(folder, settings, name, digest) for name, folder in folders.items()}, settings
        )

    return _data_of


@pytest.fixture(scope="session")
def training_tokens(training_pairs, tokens_of):
    """The 44 rows as tokens."""
    return tokens_of(training_pairs)


@pytest.fixture
def train_here(training_tokens, tmp_path, monkeypatch):
    """Train a stage in this process, which saves the seconds of imports; return the lines of its metrics."""
    import json
    import signal

    import deepspeed
    import torch

    from ascent.settings.contrastive import Contrastive
    from ascent.settings.model import Contract
    from ascent.settings.stages import StageSettings
    from ascent.settings.training import Running
    from ascent.training import throughput
    from ascent.training.job.distributed import start_deepspeed
    from ascent.training.job.preemption import SIGNALS, StopRequest
    from ascent.training.loop import Task, train

    def forget() -> None:
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):  # as start_processes has set them for a process that is alone
            os.environ.pop(name, None)

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    linear = torch.nn.functional.linear
    monkeypatch.setattr(throughput, "CPU_SIZE", 64)  # the matmul peak would take longer than the training

    def _train_here(
        parent: Path,
        contract: Contract,
        *,
        tokens: Path = training_tokens,
        more: dict[str, Path] | None = None,
        stage=None,
        **changes,
    ) -> list[dict]:
        settings = {"objective": "infonce", "data": ["questions"], "batch_size": 11, "seed": 0}
        stage = stage or Contrastive(**settings | changes)
        tables = dict.fromkeys(stage.data, tokens) | (more or {})
        settings = StageSettings(
            recipe="r", name="s", stage=stage, contract=contract, tasks=dict.fromkeys(tables, "retrieval")
        )
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        forget()
        train(
            Task(
                settings=settings,
                running=Running(),
                parent=parent,
                tokens=tables,
                model=folder / "model",
                metrics=folder / "metrics.jsonl",
                deepspeed=folder / "deepspeed.json",
                revision=1,
            ),
            StopRequest(),
        )
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    yield _train_here
    if torch.distributed.is_initialized():  # a run that failed
        start_deepspeed()  # which may hold groups, and would hand them to the next run
        deepspeed.comm.destroy_process_group()
    torch.use_deterministic_algorithms(False)
    torch.nn.functional.linear = linear  # ZeRO 3 leaves its own, which keeps other tensors
    for number, handler in handlers.items():
        signal.signal(number, handler)
    forget()


@pytest.fixture(scope="module")
def launch(warm_python):
    """Start a stage's training by the script, its files in a folder; return the process. What still runs at the end is
    killed.

    cold: in a new interpreter, as a job does. under: what a shell does first.
    """
    import shlex
    import signal

    from ascent.settings.stages import StageSettings
    from ascent.settings.training import Running
    from ascent.settings.validation import dump
    from support.training_runs import Started

    started = []

    def _launch(
        folder: Path,
        settings: StageSettings,
        *,
        parent: Path,
        tokens: Path,
        running: dict | None = None,
        processes: int = 1,
        cold: bool = False,
        under: str = "",
    ) -> Started:
        folder.mkdir(exist_ok=True)
        (folder / "stage.yaml").write_text(dump(settings))
        (folder / "running.yaml").write_text(dump(Running(**(running or {}))))
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
        )
        python, script = (
            sys.executable if cold else warm_python,
            Path(__file__).parents[1] / "scripts" / "train_stage.py",
        )
        command = [python, *launcher, script]
        command += ["--settings", folder / "stage.yaml", "--running", folder / "running.yaml", "--parent", parent]
        command += ["--tokens", tokens, "--output", folder / "model", "--metrics", folder / "metrics.jsonl"]
        command += ["--deepspeed", folder / "deepspeed.json"]
        with (folder / "log").open("a") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
            command = list(map(str, command))
            process = Started(["bash", "-c", under + shlex.join(command)] if under else command, environment, log)
        started.append(process)
        return process

    yield _launch
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
