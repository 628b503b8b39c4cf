"""Stages that train embeddings by losses: what they may say, and how they use their data."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .adapters import SOFT_TOKEN
from .base import Count, Positive, Settings, Share
from .losses import Objective, Objectives
from .model import Base, Contract
from .negatives import Mining
from .pairs import Dataset
from .teachers import Teacher
from .training import DataShare, Names, Training, datasets_by_name

# Task types whose positives are labels of classes.
LABELLED = ("classification", "clustering")


class DataUse(DataShare):
    """How a stage uses a data set."""

    objective: Objective | None = None
    """Another loss than the stage's for these rows, in the same form."""
    in_batch: bool | None = None
    """Whether other rows' documents are negatives, too. Default: true, except for the task types classification and
    clustering, whose positives are labels, or rows of the same label, so that another row's document may be an
    answer."""
    loss_weight: Positive = 1
    """Factor on the rows' losses."""
    mine: bool | None = None
    """Replace these rows' own negatives by mined ones. Default: yes if one of their losses uses negatives and their
    positives are texts, no labels of classes."""

    def uses_in_batch_negatives(self, task: str) -> bool:
        """Return `in_batch`, or its default for the data set's task type."""
        return task not in LABELLED if self.in_batch is None else self.in_batch


_Uses = Annotated[dict[str, DataUse], Field(min_length=1)]


class Development(Settings):
    """How a stage's best weights are found while it trains."""

    data: str
    """A data set that the stage does not train on. Its score is nDCG@10 of its queries among its own documents or, if
    its rows are graded, Spearman's correlation."""
    every_steps: Count = 100
    """Steps between two scores. The last step is scored, too, and the best weights become the stage's model."""
    patience: Count | None = None
    """Stop training after this many consecutive scores that do not improve on the best. Default: train to the last
    step."""


class Adversarial(Settings):
    """Adversarial perturbation of the input embeddings (fast gradient method, arXiv 1605.07725): a step minimises the
    sum of the loss and of the loss with each text's input embeddings moved in the direction in which it rises
    fastest."""

    epsilon: Positive = 1
    """How far a text's input embeddings are moved: the Euclidean length over all its tokens and dimensions."""


class Queue(Settings):
    """Negatives from earlier batches: a queue of their positives, embedded by a momentum copy of the model (MoCo, arXiv
    1911.05722)."""

    size: Count = 16384
    """The positives of the latest `size` rows are candidates for infonce, in addition to the batch's documents."""
    momentum: Share = 0.999
    """After a step the copy's weights are this share of their former values plus the rest of the model's."""


class Contrastive(Training):
    """A stage that trains embeddings."""

    type: Literal["contrastive"] = "contrastive"
    """The kind of stage."""
    objective: Objective
    """The loss: a name, or a map from names to each one's settings; several are summed."""
    data: Annotated[dict[str, DataUse], BeforeValidator(datasets_by_name, json_schema_input_type=Names | _Uses)]
    """The data sets to train on: a list of names, or a map from names to how each is used."""
    batching: Literal["mixed", "by_dataset", "balanced"] = "mixed"
    """Whether a batch holds rows of all data sets, in their shares, or of only one; the data sets' batches are then
    interleaved in these shares. `balanced`: every batch holds the same share of every data set, whose rows meet only
    each other, and the loss is the sum of the data sets' mean losses, each times its loss_weight (Conan-embedding,
    arXiv 2408.15710)."""
    development: Development | None = None
    """Keeps the weights that score best on held-out pairs, and may stop training early. Default: keep the last
    weights."""
    mining: Mining | None = None
    """Hard negatives, mined with an earlier stage's model. Default: none."""
    teacher: Teacher | None = None
    """What the stage learns from, a model or its stored scores, by a loss on its scores or embeddings: margin_mse,
    distill_kl, embedding_mse."""
    matryoshka: dict[Annotated[Count, Field(strict=False)], Positive] = {}
    """Prefixes of the embedding that can be used alone: their sizes, and the weight of each one's loss in the sum. The
    whole embedding's weight is 1 unless it is given (arXiv 2205.13147)."""
    queue: Queue | None = None
    """Negatives from earlier batches. Default: none."""
    adversarial: Adversarial | None = None
    """Adversarial perturbation of the input embeddings, for twice the work. Default: none."""

    # ------------------------------------------------------------ what recipes and plans ask, see Stage and Training

    @property
    def rule(self) -> str:
        return "finetune" if self.mining else "contrastive"

    @property
    def objective_names(self) -> list[str]:
        return list(self.objective.chosen)

    @property
    def passes(self) -> int:
        return 2 if self.adversarial else 1

    @property
    def queue_size(self) -> int:
        return self.queue.size if self.queue else 0

    @property
    def datasets_read(self) -> list[str]:
        return [*self.data, *([self.development.data] if self.development else [])]

    @property
    def teacher_used(self) -> Teacher | None:
        return self.teacher

    @property
    def mining_used(self) -> Mining | None:
        return self.mining

    @property
    def held_out(self) -> Development | None:
        return self.development

    @property
    def token_level_losses(self) -> list[str]:
        return [name for dataset in self.data for name in self.objective_of(dataset).token_level]

    def objective_of(self, dataset: str) -> Objectives:
        """Return the losses of a data set's rows."""
        return self.data[dataset].objective or self.objective

    def teacher_needs(self, dataset: str) -> dict[str, str]:
        if dataset not in self.data:  # it only develops with it
            return {}
        chosen = self.objective_of(dataset).chosen
        return {name: loss.needs for name, loss in chosen.items() if loss.needs.startswith("teacher ")}

    def with_defaults(self, data: dict[str, Dataset]) -> Self:
        def use_of(name: str, use: DataUse) -> DataUse:
            labelled = self.mining and use.mine is None and name in data and data[name].task in LABELLED
            return use.model_copy(update={"mine": False}) if labelled else use

        return self.model_copy(update={"data": {name: use_of(name, use) for name, use in self.data.items()}})

    def mines_for(self, dataset: str) -> bool:
        if self.mining is None or dataset not in self.data:
            return False
        mine = self.data[dataset].mine
        return self.objective_of(dataset).compares if mine is None else mine

    def learns_from_own_negatives(self, dataset: str, task: str) -> tuple[str, str]:
        if dataset not in self.data or self.mines_for(dataset):
            return "", ""
        wanted = (
            ["own negatives"] if self.data[dataset].uses_in_batch_negatives(task) else ["own negatives", "negatives"]
        )
        losses = self.objective_of(dataset).chosen.items()
        return next(((name, loss.needs) for name, loss in losses if loss.needs in wanted), ("", ""))

    def references(self) -> Iterator[tuple[str, str, str]]:
        yield from super().references()
        if self.development:
            yield "development.data", "data set", self.development.data
        if self.mining:
            yield "mining.model", "stage", self.mining.model
            yield from (("mining.documents", "corpus", corpus) for corpus in self.mining.documents)
        if self.teacher_model:
            yield "teacher.model", "model", self.teacher_model

    def problems(self, base: Base, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        yield from super().problems(base, data, contract)
        if self.token_level_losses and not base.heads.per_token:
            yield (
                "objective",
                (
                    f"names '{self.token_level_losses[0]}', but the base has no token-level head for it; give"
                    " base.heads lexical, multi_vector or both"
                ),
            )
        if self.mining and not any(self.mines_for(name) for name in self.data):
            yield (
                "mining",
                "finds negatives among texts, but all positives are labels of classes; set mine: true for a data set",
            )
        yield from self._useless_losses(base)
        yield from self._useless_own_positives(data, contract)
        tokens = [self.tokenising(contract, name, data[name].task, data[name].prompts) for name in self.data]
        soft = re.compile(SOFT_TOKEN.format(r"\d+"))
        unused = not any(soft.search("".join(part.query_prompts + part.document_prompts)) for part in tokens)
        if self.adapter and self.adapter.trains_soft_tokens and unused:
            yield (
                "adapter",
                (
                    "trains soft tokens, but no prompt of its data sets' task types contains any; set base.soft_tokens"
                    f" and put {SOFT_TOKEN.format(0)} and so on into these prompts"
                ),
            )

    def _useless_losses(self, base: Base) -> Iterator[tuple[str, str]]:
        for dataset in self.data:
            chosen = self.objective_of(dataset).chosen
            if all(loss.needs == "nothing" for loss in chosen.values()):
                yield (
                    "objective",
                    f"of data set '{dataset}' is only a regulariser, {' and '.join(chosen)}; name a loss in addition",
                )
            if not base.normalise and any(getattr(loss, "tau_plus", 0) for loss in chosen.values()):
                yield (
                    "objective",
                    (
                        "sets tau_plus, which needs unit-length embeddings, but base.normalise is false; remove one of"
                        " them"
                    ),
                )

    def _useless_own_positives(self, data: dict[str, Dataset], contract: Contract) -> Iterator[tuple[str, str]]:
        for dataset in (name for name in self.datasets_read if data[name].positive == "query"):
            why = f"but in data set '{dataset}' query and positive are the same text"
            if self.dropout == 0:
                yield "dropout", f"is 0, {why}, so their embeddings would be identical; set dropout, for example 0.1"
            if self.mines_for(dataset):
                yield "mining", f"finds negatives of pairs, {why}; set mine: false for it"
            if dataset not in self.data:
                yield "development", f"needs something to find, {why}; name another data set"
            tokens = self.tokenising(contract, dataset, data[dataset].task, data[dataset].prompts)
            if tokens.query_prompts != tokens.document_prompts:
                yield "prompts", f"differ by side, {why}; give both sides the same prompt, or none"

    # ------------------------------------------------------------ what does not go together

    @model_validator(mode="after")
    def _queue_is_of_use(self):
        if self.queue and self.zero == 3:
            raise ValueError(
                "queue copies whole weights, which zero: 3 partitions over the processes: set zero: 2 at most"
            )
        if self.queue and not any("infonce" in self.objective_of(name).chosen for name in self.data):
            raise ValueError("queue has candidates for infonce, which no data set's objective names: remove it")
        return self

    @model_validator(mode="after")
    def _mining_is_of_use(self):
        for name, use in self.data.items():
            if use.mine is not None and not self.mining:
                raise ValueError(
                    f"data.{name}.mine is about mined negatives, but the stage mines none: remove it, or set mining"
                )
        if self.mining and not any(self.mines_for(name) for name in self.data):
            raise ValueError(
                "mining finds negatives, but no data set's objective uses any: remove it, or set mine: true"
            )
        plain = self.sampling_temperature == 1 and all(use.weight is None for use in self.data.values())
        if self.mining and self.mining.dynamic and plain and self.epochs <= 1 and self.batching != "balanced":
            raise ValueError(
                "mining.dynamic replaces negatives of rows that come again, but in one pass none does: raise epochs"
            )
        return self

    @model_validator(mode="after")
    def _mixing_has_two_negatives(self):
        losses = [
            loss for name in self.data if self.mines_for(name) for loss in self.objective_of(name).chosen.values()
        ]
        if losses and self.mining.per_query == 1 and any(getattr(loss, "mixing", None) for loss in losses):
            raise ValueError("mixing combines two negatives of a row, but mining.per_query is 1: raise it")
        return self

    @model_validator(mode="after")
    def _input_embeddings_are_plain(self):
        if self.adversarial and self.adapter and self.adapter.trains_soft_tokens:
            raise ValueError(
                "adversarial perturbs input embeddings, which adapter: soft_prompt replaces: remove one of them"
            )
        return self

    @model_validator(mode="after")
    def _balanced_batches_have_one_size(self):
        if self.batching == "balanced" and (self.batch_tokens is not None or self.bucket_batches is not None):
            raise ValueError("batching: balanced fixes the rows of each batch: remove batch_tokens and bucket_batches")
        return self

    @model_validator(mode="after")
    def _development_is_held_out(self):
        if self.development and self.development.data in self.data:
            raise ValueError(f"development.data '{self.development.data}' is trained on: name another data set")
        return self

    @model_validator(mode="after")
    def _teacher_and_losses_agree(self):
        for loss, needs in [item for name in self.data for item in self.teacher_needs(name).items()]:
            if self.teacher is None:
                raise ValueError(f"the objective '{loss}' learns from a teacher: give the stage a teacher")
            if needs == "teacher embeddings" and not self.teacher.embeds:
                why = "are not stored" if self.teacher.type == "stored" else "a cross-encoder does not have"
                raise ValueError(f"the objective '{loss}' learns embeddings, which {why}: use a bi-encoder")
        mined = any(self.mines_for(name) and self.teacher_needs(name) for name in self.data)
        if mined and self.teacher.type == "stored":
            raise ValueError(
                "mining finds negatives without a stored score: set mine: false, or name a model as teacher"
            )
        if mined and self.mining.dynamic is not None:
            raise ValueError(
                "mining.dynamic brings negatives that the teacher has not scored: remove it, or set mine: false"
            )
        if self.teacher is not None and not any(self.teacher_needs(name) for name in self.data):
            raise ValueError("no objective learns from the teacher: remove it, or name an objective such as margin_mse")
        return self
