"""The queue of earlier positives and its momentum copy: against MoCo's algorithm in plain torch, at any number of
processes."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing as multiprocessing

from ascent.errors import AscentError
from ascent.losses import Embedded, Queued
from ascent.losses.infonce import infonce
from ascent.model.adapters import adapt
from ascent.model.backbone import load_backbone
from ascent.model.batching import pad
from ascent.model.embedding_model import EmbeddingModel
from ascent.pairs.table import Pair
from ascent.settings.adapters import Lora
from ascent.settings.contrastive import Contrastive
from ascent.settings.model import Contract
from ascent.settings.validation import check
from ascent.training.engine import rate
from support import reference_losses
from support.float64_process import float64_process
from support.tiny_models import make_architecture

CONTRACT = Contract(max_tokens=32, prompts={"query": {"retrieval": "question: "}})
TEMPERATURE = 0.1
SIZE, MOMENTUM = 20, 0.6
RATE = 1e-2


def stage_of(**settings) -> Contrastive:
    """Batches of 9 rows, so that the queue of 20 is never made of whole ones."""
    given = {
        "objective": {"infonce": {"temperature": TEMPERATURE}},
        "data": {"questions": {}, "graded": {"objective": "cosine"}, "classes": {}},
        "queue": {"size": SIZE, "momentum": MOMENTUM},
        "batch_size": 9,
        "learning_rate": RATE,
        "gradient_clipping": 0,
        "dropout": 0,
        "epochs": 0.8,
    }
    return Contrastive(**given | settings)


@pytest.fixture(scope="module")
def folders(training_rows, corpus_rows, tokens_of):
    """Pairs, of which some have the answers of others and come twice; graded pairs; rows that do not compete."""
    questions = training_rows[:30] + [
        Pair(row.query, training_rows[i + 3].positive) for i, row in enumerate(training_rows[:6])
    ]
    graded = [Pair(row["query"], row["positive"], label=i / 9) for i, row in enumerate(corpus_rows[50:59])]
    classes = [Pair(row["positive"], row["module"], ("another module",)) for row in corpus_rows[70:79]]
    found = {"questions": tokens_of(questions), "graded": tokens_of(graded)}
    return found | {"classes": tokens_of(classes, task="classification")}


@pytest.fixture(scope="module")
def data(folders, data_of):
    def _data(stage: Contrastive):
        settings = stage.model_dump(by_alias=True, exclude={"objective"}) | {"objective": stage.objective}
        return data_of(folders, tasks={"classes": "classification"}, **settings)

    return _data


def model_of(folder) -> EmbeddingModel:
    backbone, _ = load_backbone(folder, CONTRACT, dropout=0.0)
    return EmbeddingModel(backbone, CONTRACT).double()


def train(rank: int, world: int, store: str, folder: str, stage: Contrastive, data, output: str) -> None:
    """In a process of its own: train, and save weights, losses, and the entries of all processes."""
    from ascent.training.engine import deepspeed_config, start_engine
    from ascent.training.objective import load_objectives
    from ascent.training.queue import Queue
    from ascent.training.stages.contrastive import train_step

    with float64_process(rank, world, store):
        model = model_of(folder)
        queue = Queue(stage, model)
        schedule, objective = data.schedule(), load_objectives(stage, CONTRACT)
        engine = start_engine(model, stage, len(schedule), deepspeed_config(stage), torch.device("cpu"))
        losses = []
        for step in range(len(schedule)):
            batch = data.batch(schedule[step], rank=rank, world=world)
            losses.append(train_step(engine, batch, objective, stage, step, 0, queue).loss)
        held = queue.candidates(batch)
        torch.save(
            {"embeddings": held.embeddings, "ids": held.ids, "places": queue._entries["places"]}, f"{output}-{rank}.pt"
        )
        if rank == 0:
            torch.save({"weights": model.backbone.state_dict(), "losses": losses}, output)


def by_plain_torch(folder, stage: Contrastive, data) -> tuple[dict, list[float], list[tuple]]:
    """The same in a loop: a list of (embedding, id, data set, or None for a row that does not join), one for each
    row."""
    model = model_of(folder)
    momentum = copy.deepcopy(model)
    groups = [{"params": [p for p in model.parameters() if (p.ndim > 1) == matrix]} for matrix in (True, False)]
    for group, decay in zip(groups, (stage.weight_decay, 0.0), strict=True):
        group["weight_decay"] = decay
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    schedule, queue, losses = data.schedule(), [], []
    for step in range(len(schedule)):
        batch = data.batch(schedule[step], rank=0, world=1)
        embedded = model.embed(**pad(batch.tokens, 0))
        queries, documents = embedded[: batch.rows], embedded[batch.rows :]
        owners = batch.row_of_document.tolist()
        total = 0
        for row, (query, positive) in enumerate(zip(queries, documents[: batch.rows], strict=True)):
            source = int(batch.dataset_index[row])
            if source == 1:
                total = total + (reference_losses.cosine_of(query, positive) - float(batch.labels[row])) ** 2
                continue
            known = batch.answers[row].tolist()
            rivals = [
                document
                for d, document in enumerate(documents)
                if int(batch.document_ids[d]) not in known
                and (owners[d] == row if source == 2 else int(batch.dataset_index[owners[d]]) == 0)
            ]
            if source == 0:
                of_same = [one for one in queue if one is not None and (stage.batching == "mixed" or one[2] == source)]
                rivals += [embedding for embedding, id_, _ in of_same if id_ not in known]
            own = query @ positive / TEMPERATURE
            scores = torch.stack([own, *(query @ rival / TEMPERATURE for rival in rivals)])
            total = total + torch.logsumexp(scores, 0) - own
        loss = total / batch.rows
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate(step, len(schedule), stage.warmup, stage.schedule)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        with torch.no_grad():
            keys = momentum.embed(**pad(batch.tokens[batch.rows : 2 * batch.rows], 0))
            for mine, theirs in zip(momentum.parameters(), model.parameters(), strict=True):
                mine.copy_(MOMENTUM * mine + (1 - MOMENTUM) * theirs)
        for row in range(batch.rows):
            joins = int(batch.dataset_index[row]) == 0
            queue.append((keys[row], int(batch.document_ids[row]), int(batch.dataset_index[row])) if joins else None)
        queue = queue[-SIZE:]
    weights = {name: p.detach() for name, p in model.backbone.named_parameters() if p.grad is not None}
    return weights, losses, [one for one in queue if one is not None]


@pytest.mark.usefixtures("warm_spawn")
@pytest.mark.parametrize(
    ("world", "settings"), [(1, {}), (2, {"mini_batch_tokens": 200, "zero": 1})], ids=["1", "2, cached, ZeRO 1"]
)
def test_it_is_moco_s_algorithm_at_any_number_of_processes(world, settings, tiny_model, data, tmp_path):
    stage = stage_of(**settings)
    rows = data(stage)
    arguments = (world, str(tmp_path / "store"), str(tiny_model), stage, rows, str(tmp_path / "found.pt"))
    multiprocessing.start_processes(train, arguments, nprocs=world, start_method="spawn")
    weights, losses, queue = by_plain_torch(tiny_model, stage, rows)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    # ZeRO keeps float32 weights.
    limit = 1e-4 if stage.zero else 1e-7
    assert found["losses"] == pytest.approx(losses, abs=limit)
    assert max(float((found["weights"][name] - p).abs().max()) for name, p in weights.items()) < limit
    shares = [torch.load(tmp_path / f"found.pt-{rank}.pt", weights_only=True) for rank in range(world)]
    places = torch.cat([share["places"] for share in shares])
    assert len(queue) == len(places) < SIZE
    order = places.argsort()
    assert torch.cat([share["ids"] for share in shares])[order].tolist() == [id_ for _, id_, _ in queue]
    expected = torch.stack([embedding for embedding, _, _ in queue])
    assert float((torch.cat([share["embeddings"] for share in shares])[order] - expected).abs().max()) < limit


# ---------------------------------------------------------------- the copy


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_the_copy_shares_nothing_with_the_model(name, tiny_resource, tmp_path):
    """T5's bias of positions is computed by a method that loading replaces."""
    from ascent.training.queue import Queue

    folder = make_architecture(tmp_path / name, name, tiny_resource)
    backbone, _ = load_backbone(folder, Contract(max_tokens=32))
    model = EmbeddingModel(backbone, Contract(max_tokens=32))
    queue = Queue(stage_of(), model)
    inputs = model.inputs([torch.arange(5, 25).numpy()], 0, "cpu")
    before = queue._copy.embed(**inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    assert torch.equal(queue._copy.embed(**inputs), before)
    assert torch.allclose(before.norm(), torch.ones(()))


@pytest.mark.slow
def test_the_copy_follows_what_trains_and_nothing_else(tiny_model, data):
    """Beside an adapter the backbone may be held in fewer bits, which the copy's are not to drift to."""
    from ascent.training.queue import Queue

    model = model_of(tiny_model)
    adapt(model.backbone, Lora(type="lora", rank=4, dropout=0), None, "here")
    model.double()
    queue = Queue(stage_of(), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    batch = data(stage_of()).batch(data(stage_of()).schedule()[0], rank=0, world=1)
    queue.take(model, batch, 0, 2048)
    share = 1 - stage_of().queue.momentum
    for name, parameter in queue._copy.named_parameters():
        torch.testing.assert_close(parameter, before[name] + (0.5 * share if "lora_" in name else 0))


# ---------------------------------------------------------------- the loss


def test_sizes_of_matryoshka_and_the_margin_hold_for_the_queue():
    draw = torch.Generator().manual_seed(0)
    unit = lambda rows: torch.nn.functional.normalize(torch.randn(rows, 8, generator=draw, dtype=torch.float64), dim=1)  # noqa: E731
    queries, documents, queued = unit(4), unit(4), unit(5)
    ids = torch.arange(4)
    whole = {
        "row_of_document": ids,
        "groups": torch.tensor([0, 0, 0, 7]),
        "labels": torch.full((4,), torch.nan),
        "dataset_index": torch.zeros(4).long(),
        "numbers": ids,
        "weights": torch.ones(4),
    }
    batch = Embedded(queries=queries, documents=documents, document_ids=ids, answers=ids[:, None], **whole)
    # Entry 4 is an answer of row 1; the last row is in a group of its own.
    entries = Queued(embeddings=queued, ids=torch.tensor([10, 11, 12, 13, 1]), dataset_index=torch.zeros(5).long())
    given = replace(batch, queued=entries)
    sizes, margin = {4: 0.5}, 0.1
    expected = []
    for row in range(4):
        total = 0.0
        for size, weight in ({8: 1.0} | sizes).items():
            cut = [side[:, :size] / side[:, :size].norm(dim=1, keepdim=True) for side in (queries, documents, queued)]
            own = cut[0][row] @ cut[1][row]
            rivals = [cut[1][d] for d in range(3) if d != row] + [
                e for i, e in enumerate(cut[2]) if not (row == 1 and i == 4)
            ]
            scores = [cut[0][row] @ rival for rival in rivals] if row < 3 else []
            scores = [score for score in scores if score <= own + margin]
            total += weight * (torch.logsumexp(torch.stack([own, *scores]) / TEMPERATURE, 0) - own / TEMPERATURE)
        expected.append(float(total))
    found = infonce(given, temperature=TEMPERATURE, false_negative_margin=margin, sizes=sizes)
    assert found.tolist() == pytest.approx(expected)
    assert infonce(batch, temperature=TEMPERATURE)[:3].sum() < infonce(given, temperature=TEMPERATURE)[:3].sum() - 0.01


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero": 3}, "queue copies whole weights, which zero: 3 partitions over the processes: set zero: 2 at most"),
        ({"objective": "triplet"}, "queue has candidates for infonce, which no data set's objective names: remove it"),
        ({"queue": {"size": 0}}, "'queue.size' is 0, but "),
        ({"queue": {"momentum": 1.5}}, "'queue.momentum' is 1.5, but "),
    ],
)
def test_a_queue_that_cannot_serve_is_refused(changes, message):
    with pytest.raises(AscentError) as error:
        check(Contrastive, {"objective": "infonce", "data": ["a"], "queue": {}} | changes, "the.yaml")
    assert message in str(error.value)


def test_a_queue_that_nothing_would_join_is_refused(folders, data_of):
    with pytest.raises(AscentError, match=r"stages\.s\.queue: in-batch negatives are off for all data sets"):
        data_of({"classes": folders["classes"]}, tasks={"classes": "classification"}, queue={})


def test_by_data_set_a_row_meets_its_own_data_set_s_entries(tiny_model, data):
    from ascent.training.queue import Queue

    uses = {"questions": {}, "graded": {"objective": {"infonce": {}, "cosent": {}}}, "classes": {"in_batch": True}}
    stage = stage_of(batching="by_dataset", data=uses)
    rows, queue = data(stage), Queue(stage, model_of(tiny_model))
    for step in range(len(rows.schedule())):
        batch = rows.batch(rows.schedule()[step], rank=0, world=1)
        queue.take(model_of(tiny_model), batch, 0, 2048)
        found = queue.candidates(batch)
        assert set(found.dataset_index.tolist()) == {int(batch.dataset_index[0])}
    assert len(queue._entries["ids"]) == SIZE


def test_the_copy_leaves_prompts_out_as_the_model_does(data, tiny_model):
    from ascent.training.queue import Queue

    stage = stage_of()
    model = model_of(tiny_model).eval()
    batch = data(stage).batch(data(stage).schedule()[0], rank=0, world=1)
    batch = replace(batch, prompt_lengths=[2 + row % 2 for row in range(len(batch.tokens))])
    queue = Queue(stage, model)
    queue.take(model, batch, 0, 64)
    joined = [row for row in range(batch.rows) if int(batch.dataset_index[row]) == 0]
    assert joined
    texts = [batch.rows + row for row in joined]
    rows, lengths = ([given[text] for text in texts] for given in (batch.tokens, batch.prompt_lengths))
    with torch.no_grad():
        expected, pooled = (model.embed(**model.inputs(rows, 0, "cpu", skipped)) for skipped in (lengths, ()))
    torch.testing.assert_close(queue._entries["embeddings"], expected, atol=1e-12, rtol=0)
    assert float((expected - pooled).abs().max()) > 1e-3
