"""Every path under results/ and resources/, in the order of the data.

A path is a pattern: rules take it with its wildcards, everything else fills them by `format`. No other file spells one.
"""

# What a source gives: kind is corpora or models.
RESOURCE = "resources/{kind}/{name}"
RESOURCE_SETTINGS = "resources/{kind}/{name}.yaml"
# The SHA-256 of each local file that a source names, and when which was computed (recipes/source_digests.py).
SOURCE_DIGESTS = "resources/digests/{kind}/{name}.json"
KNOWN_DIGESTS = "resources/digests/known.json"
# Downloads that resources share.
DOWNLOADS = "resources/.cache"
# How each generator is run, and the answers that a synthesised corpus was given, which outlive it.
GENERATOR_SETTINGS = "resources/generators/{generator}.yaml"
ANSWERS = "resources/answers/{corpus}.sqlite"
RETRIEVED_CORPUS = "resources/corpora/{corpus}"
RETRIEVED_MODEL = "resources/models/{model}"

CORPUS_SETTINGS = "results/corpora/{corpus}/corpus.yaml"
CORPUS_PAIRS = "results/corpora/{corpus}/pairs-{part}-of-{parts}.parquet"
CORPUS_DOCUMENTS = "results/corpora/{corpus}/documents-{part}-of-{parts}.parquet"
# Some of the rows that were set aside; also of a corpus that is refused for them.
CORPUS_SET_ASIDE = "results/corpora/{corpus}/set_aside-{part}-of-{parts}.parquet"
CORPUS_AUDIT = "results/corpora/{corpus}/audit-{part}-of-{parts}.json"
# The texts of a task that mteb knows.
EVALUATION_TEXTS = "results/tested/{task}/pairs.parquet"
EVALUATION_DOCUMENTS = "results/tested/{task}/documents.parquet"

# What a pass over a data set's rows makes: `folder` is pairs for the last one, prepared for those before. A key is the
# data set's name and a digest of the settings that the folder's content depends on (recipes/dataset_steps.py).
FILTERING = "results/{folder}/{key}/filtering.yaml"
FILTERED = "results/{folder}/{key}/pairs-{part}-of-{parts}.parquet"
FILTERED_AUDIT = "results/{folder}/{key}/audit-{part}-of-{parts}.json"
# Some of the rows that were dropped.
DROPPED = "results/{folder}/{key}/dropped-{part}-of-{parts}.parquet"
SCORING = "results/scored/{key}/scoring.yaml"
PAIR_SCORES = "results/scored/{key}/scores-{part}-of-{parts}.parquet"
RANKING = "results/ranked/{key}/ranking.yaml"
# The documents among which positives are ranked: embeddings and ids.
RANKED_POOL = "results/ranked/{key}/pool.npy"
RANKED_POOL_IDS = "results/ranked/{key}/pool.ids.npy"
PAIR_RANKS = "results/ranked/{key}/ranks-{part}-of-{parts}.parquet"
PREDICTING = "results/predicted/{key}/predicting.yaml"
PERPLEXITIES = "results/predicted/{key}/perplexities-{part}-of-{parts}.parquet"
SIGNING = "results/signed/{key}/signing.yaml"
SIGNATURES = "results/signed/{key}/signatures-{part}-of-{parts}.parquet"
# What filters judge by, if it is measured: the settings, and the table of a part's rows.
MEASURED = {
    "scores": (SCORING, PAIR_SCORES),
    "ranks": (RANKING, PAIR_RANKS),
    "perplexities": (PREDICTING, PERPLEXITIES),
    "signatures": (SIGNING, SIGNATURES),
}

# What a corpus or data set is made of, with tokens of a model: `table` is corpora/<corpus> or pairs/<key>.
STATISTICS = "results/{table}/statistics-{model}.json"

LEAKAGE_SETTINGS = "results/{recipe}/leakage.yaml"
LEAKAGE = "results/{recipe}/leakage.json"
# The last clean one, for when a check fails.
LEAKAGE_BEFORE = "results/{recipe}/leakage.before.json"
# What matched; also of a check that fails.
LEDGER = "results/{recipe}/ledger.tsv"
RUNNING = "results/{recipe}/running.yaml"
SHARD_SETTINGS = "results/{recipe}/{stage}/shards/{dataset}.yaml"
SHARD_QUERIES = "results/{recipe}/{stage}/shards/{dataset}/queries-{shard}-of-{shards}"
SHARD_DOCUMENTS = "results/{recipe}/{stage}/shards/{dataset}/documents-{shard}-of-{shards}"
SHARD_FINGERPRINT = "results/{recipe}/{stage}/shards/{dataset}/fingerprint-{shard}-of-{shards}.json"
# A corpus's documents to mine in. The pool is the corpus's name and a digest of how they are embedded.
POOL_SETTINGS = "results/{recipe}/{stage}/pools/{pool}.yaml"
POOL_DOCUMENTS = "results/{recipe}/{stage}/pools/{pool}/documents-{shard}-of-{shards}"
POOL_FINGERPRINT = "results/{recipe}/{stage}/pools/{pool}/fingerprint-{shard}-of-{shards}.json"
SELECTION = "results/{recipe}/{stage}/mining.yaml"
NEGATIVES = "results/{recipe}/{stage}/negatives/{dataset}.parquet"
NEGATIVES_AUDIT = "results/{recipe}/{stage}/negatives/{dataset}.audit.json"
TEACHING = "results/{recipe}/{stage}/teacher/{dataset}.yaml"
TEACHER_SCORES = "results/{recipe}/{stage}/scores/{dataset}.parquet"
TEACHER_EMBEDDINGS = "results/{recipe}/{stage}/embeddings/{dataset}"
TOKENISING = "results/{recipe}/{stage}/tokens/{dataset}.yaml"
TOKENS = "results/{recipe}/{stage}/tokens/{dataset}"

STAGE_SETTINGS = "results/{recipe}/{stage}/stage.yaml"
# The weights of a merge that were chosen on a development set, with the scores.
CHOICE = "results/{recipe}/{stage}/weights.json"
BASE_MODEL = "results/{recipe}/base/model"
MODEL = "results/{recipe}/{stage}/model"
METRICS = "results/{recipe}/{stage}/metrics.jsonl"
DEEPSPEED = "results/{recipe}/{stage}/deepspeed.json"
REPLACEMENTS = "results/{recipe}/{stage}/replacements.json"

TASK_SETTINGS = "results/{recipe}/tasks/{task}.yaml"
# Of a task that mteb knows: one for all recipes that evaluate the same part of it, a digest of which is the key.
REGISTERED_TASK_SETTINGS = "results/tested/{task}/task-{key}.yaml"
RESULT = "results/{recipe}/{stage}/mteb/{task}.json"
RESULT_UNITS = "results/{recipe}/{stage}/mteb/{task}.units.parquet"
SCORES = "results/{recipe}/scores.tsv"
SIGNIFICANCE = "results/{recipe}/significance.tsv"
OVERVIEW = "results/{recipe}/report/overview.html"
CURVES = "results/{recipe}/report/curves.svg"
RADAR = "results/{recipe}/report/radar.svg"
RADAR_IMAGE = "results/{recipe}/report/radar.png"
SCORES_PAGE = "results/{recipe}/report/scores.html"
SIGNIFICANCE_PAGE = "results/{recipe}/report/significance.html"
AUDITS_PAGE = "results/{recipe}/report/audits.html"
FLOW = "results/{recipe}/report/flow.svg"
STATISTICS_PAGE = "results/{recipe}/report/statistics.html"
SAMPLES_PAGE = "results/{recipe}/report/samples-{dataset}.html"
RELEASE_SETTINGS = "results/{recipe}/release.yaml"
RELEASE = "results/{recipe}/release"
# The output that Snakemake knows of it: in a folder that is an output it leaves a file of its own.
RELEASE_CARD = "results/{recipe}/release/README.md"

# Folders beside the recipes' own: no recipe may be called so.
SHARED_FOLDERS = ("corpora", "tested", "prepared", "scored", "ranked", "predicted", "signed", "pairs")


def parts_of(pattern: str, parts: int, until: int | None = None, **names: str) -> list[str]:
    """Return the paths of a table's parts, in order; all, or those up to the part `until`, from 0."""
    numbers = range(parts if until is None else until + 1)
    return [pattern.format(part=f"{number:05d}", parts=f"{parts:05d}", **names) for number in numbers]
