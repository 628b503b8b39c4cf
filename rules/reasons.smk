# In: Snakemake's graph of jobs. Out: the same graph, in which a job behind an `ancient` input keeps reasons of its own.
from collections import deque

from snakemake.dag import DAG

snakemakes_own = DAG.update_needrun


def jobs_behind(depending, job):
    """The jobs that run if a job runs: those that depend on it by more than what they call `ancient`."""
    found, queue = {job}, deque([job])
    while queue:
        for other, files in depending[queue.popleft()].items():
            if other not in found and not all(file.is_ancient for file in files):
                found.add(other)
                queue.append(other)
    return found


async def update_needrun(dag, *arguments, **options):
    """Snakemake's own, which (9.27) asks no job behind one that runs for a reason to run: it runs anyway. But not if all that it
    takes of that one is `ancient`, and then its missing output was forgotten, and the run ended as if all were done.
    """
    dag.bfs = jobs_behind  # of all walks through the graph, this method takes only that one
    try:
        return await snakemakes_own(dag, *arguments, **options)
    finally:
        del dag.bfs


DAG.update_needrun = update_needrun
