"""Evaluate one model on one task."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import datasets
import mteb
from sklearn.exceptions import UndefinedMetricWarning

from ..errors import AscentError
from ..files import scratch_in, write_atomically
from ..model.encoder import Encoder
from ..pairs.parquet import Table
from ..settings.evaluation import TaskSettings
from .local_tasks import Tables
from .model import EvaluatedModel
from .search import SearchingModel
from .statistics import main_score
from .tasks import make_task
from .units import Units, UnitsObserver, write_units


def evaluate_task(
    settings: TaskSettings,
    model: Path,
    *,
    recipe: str,
    stage: str,
    output: Path,
    units: Path,
    pairs: Table | None = None,
    documents: Table | None = None,
    pools: Mapping[str, Table] | None = None,
) -> None:
    """Evaluate a stage's model on a task: write mteb's own result to `output`, and its units to `units`. pairs,
    documents, pools: a local task's Tables.

    Raises AscentError for an unknown task, missing data, and a main score that is NaN.
    """
    datasets.disable_progress_bars()
    # About the precision of a label that no classifier predicts, which is never the main score.
    warnings.filterwarnings("ignore", category=UndefinedMetricWarning)
    name = f"ascent/{recipe}-{stage}"
    with scratch_in(output.parent) as folder:
        task = make_task(settings, Tables(pairs, documents, pools or {}, folder) if pairs else None)
        observer = UnitsObserver(task)
        # In the precision in which the released folder is loaded.
        encoder, rank_by = Encoder(model, precision="float32"), getattr(settings.task, "rank_by", {})
        result = mteb.evaluate(
            SearchingModel(encoder, name, rank_by) if rank_by else EvaluatedModel(encoder, name),
            task,
            co2_tracker=False,
            # Our encoder batches by tokens; this is only how many texts a data loader hands over at a time.
            encode_kwargs={"batch_size": 1024, "show_progress_bar": False},
            # No cache: the workflow decides what runs again, and a cache in the user's home would overrule it.
            cache=None,
            # Switches on the observer's hook, which writes nothing. The parts of an aggregate are not observed.
            prediction_folder=None if task.is_aggregate else Path("predictions"),
            show_progress_bar=False,
        ).task_results[0]
    score = result.get_score()
    if math.isnan(score):
        raise AscentError(
            f"{settings.name}: mteb's main score {task.metadata.main_score} is NaN for {name}, because all similarities"
            " or labels are equal; check the model and the task's rows."
        )
    observed = observer.units(recipe, stage)
    _check(observed, score, output)
    write_units(units, observed)
    with write_atomically(output) as temporary:
        result.to_disk(temporary)
    print(f"{settings.name}: {observed.metric} {score:.4f} ({observed.table.num_rows or 'no'} units)")


def _check(units: Units, score: float, output: Path) -> None:
    # mteb rounds retrieval scores to 5 digits.
    if units.table.num_rows and abs(main_score(units) - score) > 1e-5:
        raise AscentError(
            f"{output}: the units' score {main_score(units):.6f} is not mteb's {score:.6f}; this version of mteb"
            f" computes {units.metric} differently; adapt `units` in ascent/evaluation/local_tasks."
        )
