"""Tasks for mteb: made of the rows of a local corpus, or known to mteb by name.

Local and registered tasks differ only in where their rows come from: protocol and metrics are mteb's. Each call returns
a new object, because task objects have random state: used twice, the same object gives other scores."""

import mteb
from mteb.abstasks import AbsTask
from mteb.abstasks.task_metadata import TaskMetadata

from ..components import module_of
from ..errors import AscentError, did_you_mean
from ..pairs.parquet import digest_of_table, files_of
from ..settings.evaluation import TaskSettings
from .local_tasks import Tables


def make_task(settings: TaskSettings, tables: Tables | None = None) -> AbsTask:
    """Return a new task with its data loaded. tables: what a local task is made of.

    Raises AscentError for a name that mteb does not know, data that cannot be loaded, and a corpus without rows for the
    task."""
    if settings.task is None:
        return _registered_task(settings)
    if not (tables and tables.pairs):
        raise AscentError(f"{settings.name}: a local task is made of pairs; add --pairs.")
    kind, metadata = module_of(settings.task), local_metadata(settings, _revision(tables))
    task = type(settings.name, (kind.mteb_class(),), {"metadata": metadata})(seed=settings.seed)
    kind.fill(task, settings.task, tables)
    task.data_loaded = True
    return task


def _revision(tables: Tables) -> str:
    """Return the digest of what is evaluated, truncated to a commit's length."""
    searched = [path for table in (tables.documents or [], *tables.pools.values()) for path in files_of(table)]
    return digest_of_table([*files_of(tables.pairs), *searched])[:40]


def local_metadata(settings: TaskSettings, revision: str) -> TaskMetadata:
    """Return mteb's description of a local task whose rows have a revision."""
    kind, mteb_type = module_of(settings.task), settings.task.mteb_types[0]
    pools = settings.task.pools
    beside = f", with the documents of {', '.join(pools)}" if pools else ""
    return TaskMetadata(
        name=settings.name,
        description=f"{mteb_type} over the {settings.task.split} split of the corpus {settings.task.corpus}{beside}",
        type=mteb_type,
        category=kind.CATEGORY,
        modalities=["text"],
        dataset={"path": f"local/{settings.task.corpus}", "revision": revision},
        eval_splits=[settings.task.split],
        eval_langs=[settings.language],
        main_score=kind.MAIN_SCORE,
    )


def _registered_task(settings: TaskSettings) -> AbsTask:
    try:
        task = mteb.get_task(settings.name, hf_subsets=settings.subsets, eval_splits=settings.splits)
    except KeyError:
        known = [known.metadata.name for known in mteb.get_tasks()]
        raise AscentError(f"mteb has no task '{settings.name}'; {did_you_mean(settings.name, known)}") from None
    try:
        for part in task.metadata.tasks if task.is_aggregate else [task]:
            part.load_data()
    except Exception as error:  # whatever a hub, a network or a cache may raise: the fix is the same
        reason = " ".join(str(error).split())[:200]
        raise AscentError(
            f"{settings.name}: its data could not be loaded ({reason}); check the network, or download them into the"
            " hub's cache first."
        ) from error
    return task
