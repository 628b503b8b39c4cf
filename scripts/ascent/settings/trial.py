"""How recipes are made small for a trial."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from .base import Count, Name, Settings
from .evaluation import AnyLocalTask, TaskType


def _for_pairs(corpus: Any) -> Any:
    """Take one corpus for that of retrieval's rows."""
    return {"retrieval": corpus} if isinstance(corpus, str) else corpus


class Trial(Settings):
    """Shrinks every recipe of a run, so that all its steps run in a minute or so: `--config 'trial={rows: 200, steps:
    10}'`.

    Results lie in results/<recipe>-trial and never touch real ones. Tasks and benchmarks of mteb are left out, since
    their texts come from a hub; training is plain (no ZeRO, offload, compilation, FP8 or 4-bit weights), and shards are
    one. Numbers that are smaller already stay."""

    # Snakemake reads values of --config as text.
    model_config = ConfigDict(strict=False)

    rows: Count = 200
    """Rows per data set, the first of its split; and of each corpus that a language model writes, of which a copy
    called <corpus>-trial is written. The answers are kept, and are not asked for again for the whole corpus."""
    steps: Count = 10
    """Steps per stage."""
    batch_size: Count = 32
    """Rows per step."""
    max_tokens: Count = 64
    """Tokens per text, also for teachers."""
    queries: Count = 50
    """Queries per local evaluation task."""
    model: str | None = None
    """A model of config/models.yaml that replaces the base model and the teachers that embed. Thresholds of scores then
    let everything pass, since another model scores differently. Default: the recipe's models."""
    dimensions: Count = 32
    """The embedding's width with the replaced model: sizes of Matryoshka and heads are scaled down to it."""
    attention: Literal["bidirectional", "causal"] | None = None
    """Attention of the replaced model, as base and as teacher. Default: that of the recipe's base."""
    cross_encoder: str | None = None
    """A model that replaces teachers that are cross-encoders. Default: the recipe's."""
    corpus: Annotated[
        dict[TaskType, Name], BeforeValidator(_for_pairs, json_schema_input_type=Name | dict[TaskType, Name])
    ] = {}
    """Corpora that replace all others, by the task type of the rows: `{retrieval: tickets, sts: graded}`; `tickets`
    stands for `{retrieval: tickets}`. Types that are not named keep their corpora. The recipe is then evaluated on one
    local task of each type, so that a recipe whose data and tasks are all on a hub runs without it. Filters of length
    let everything pass, since other texts have other lengths; negatives are mined from rank 0 on; and data sets by
    which weights are chosen are of the split `validation`."""
    corpora: dict[Name, Name] = {}
    """Corpora that replace others, by the replaced ones' names: `{msmarco: tickets}`."""
    tasks: dict[Name, AnyLocalTask] = {}
    """Local tasks that replace the recipe's evaluation. Default: those of `corpus`, else the recipe's local tasks."""
