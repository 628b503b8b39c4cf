"""Every wrong value becomes one sentence that names the file, the key and the fix."""

import pytest

from ascent.errors import AscentError
from ascent.settings.contrastive import Contrastive
from ascent.settings.corpora import Corpus
from ascent.settings.merging import Linear, Slerp
from ascent.settings.model import Contract
from ascent.settings.pairs import Dataset
from ascent.settings.recipe import Config
from ascent.settings.sources import Hub
from ascent.settings.tables import Table
from ascent.settings.validation import check

SOURCE = {"type": "files", "paths": ["a.jsonl"]}
CORPUS = {"source": SOURCE, "reader": {"pairs": {"train": ["a"]}}, "licence": "mit", "language": "eng-Latn"}
TRAIN = {"objective": "infonce", "data": ["questions"]}
STORED = TRAIN | {"objective": "margin_mse", "teacher": {"type": "stored"}}
PYPI = {"type": "pypi", "name": "x", "version": "1", "sha256": "0", "members": ["*"]}


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Contrastive, TRAIN | {"learning_rat": 1}, "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        (Contrastive, TRAIN | {"form": ["a"]}, "unknown key 'form'; did you mean 'from'?"),
        (
            Contrastive,
            TRAIN | {"mining": {"model": "a", "rank": [0, 9]}},
            "unknown key 'mining.rank'; did you mean 'ranks'?",
        ),
        (Corpus, CORPUS | {"source": SOURCE | {"path": "a"}}, "unknown key 'source.path'; did you mean 'paths'?"),
        (Corpus, CORPUS | {"source": PYPI | {"paths": ["a"]}}, "unknown key 'source.paths'; known are: "),
        (
            Corpus,
            CORPUS | {"source": {"type": "pip"}},
            "'source.type' is 'pip'; known are: files, hub, mteb_task, pypi, ",
        ),
        (Corpus, CORPUS | {"reader": {"type": "tabel"}}, "'reader.type' is 'tabel'; did you mean 'table'?"),
        (
            Corpus,
            CORPUS | {"reader": {"pairs": {}, "colums": {}}},
            "unknown key 'reader.colums'; did you mean 'columns'?",
        ),
        (
            Corpus,
            CORPUS | {"reader": {"pairs": {}, "columns": {"positive_scores": "s"}}},
            (
                "'reader.columns': a teacher's scores are those of the positive and of all negatives; name"
                " positive_scores, and "
            ),
        ),
        (
            Corpus,
            CORPUS | {"max_rejected": "1e-1"},
            "'max_rejected' is '1e-1', but it should be a number: write 1.0e-1.",
        ),
        # The former form.
        (
            Corpus,
            CORPUS | {"reader": "similarity", "options": {"scores": "a.txt"}},
            "a reader and its options are one map now; write reader: {type: similarity, scores: a.txt}.",
        ),
        (Config, {"corpora": {}, "models": {}, "recipe": ["a"]}, "unknown key 'recipe'; did you mean 'recipes'?"),
        (Config, {"corpora": {}, "models": {}}, "'recipes' is missing; add it."),
        (
            Config,
            {"recipes": [], "corpora": {"a": CORPUS | {"licence": 3}}, "models": {}},
            "'corpora.a.licence' is 3, but ",
        ),
        # A user's name that is also the name of a branch stays in the path.
        (
            Config,
            {"recipes": [], "corpora": {"files": CORPUS | {"x": 1}}, "models": {}},
            "unknown key 'corpora.files.x'; ",
        ),
        (Contrastive, TRAIN | {"data": []}, "'data': names no data set: name at least one."),
        (Contrastive, TRAIN | {"data": {}}, "'data': names no data set: name at least one."),
        (Contrastive, TRAIN | {"data": ["a", "b", "a"]}, "'data': names 'a' more than once: name it once"),
        (Contrastive, TRAIN | {"data": {"a": {"wieght": 1}}}, "unknown key 'data.a.wieght'; did you mean 'weight'?"),
        (Contrastive, TRAIN | {"data": {"a": {"weight": 0}}}, "'data.a.weight' is 0, but it should be greater than 0."),
        (
            Contrastive,
            TRAIN | {"data": {"a": {"weight": 1}, "b": {}}},
            "data.b has no weight, but others have: set weight",
        ),
        (
            Contrastive,
            TRAIN | {"data": {"a": {"weight": 1}}, "sampling_temperature": 2},
            "sampling_temperature is for ",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"mixing": {}}}},
            "'objective.infonce.mixing': makes no negatives: set ",
        ),
        (
            Contrastive,
            TRAIN | {"mining": {"model": "a", "dynamic": {}}},
            "'mining': reserve and dynamic go together; set both",
        ),
        (
            Contrastive,
            TRAIN | {"mining": {"model": "a", "reserve": 50, "dynamic": {}}},
            "'mining': ranks [0, 30] hold fewer documents than per_query and reserve, 52; widen them.",
        ),
        (
            Contrastive,
            TRAIN | {"batching": "balanced", "bucket_batches": 2},
            "batching: balanced fixes the rows of each batch",
        ),
        (
            Contrastive,
            TRAIN | {"data": {"a": {"mine": False}}},
            "data.a.mine is about mined negatives, but the stage mines none",
        ),
        (
            Contrastive,
            TRAIN | {"objective": "cosent", "mining": {"model": "a"}},
            "mining finds negatives, but no data set's ",
        ),
        (
            Contrastive,
            TRAIN | {"mining": {"model": "a", "ranks": [0, 99], "reserve": 50, "dynamic": {}}},
            "mining.dynamic replaces negatives of rows that come again, but in one pass none does: raise epochs.",
        ),
        (Contrastive, TRAIN | {"seed": -1}, "'seed' is -1, but it should be greater than or equal to 0."),
        (Contrastive, TRAIN | {"warmup": 1.5}, "'warmup' is 1.5, but it should be less than or equal to 1."),
        (Contrastive, TRAIN | {"batch_size": "many"}, "'batch_size' is 'many', but it should be a whole number"),
        (Contrastive, TRAIN | {"objective": "infonse"}, "unknown key 'objective.infonse'; did you mean 'infonce'?"),
        (Contrastive, TRAIN | {"objective": {"zzz": {}}}, "unknown key 'objective.zzz'; known are: "),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"temperatur": 1}}},
            "unknown key 'objective.infonce.temperatur'; did you mean 'temperature'?",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"temperature": 0}}},
            "'objective.infonce.temperature' is 0, but it should be greater than 0.",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"weight": 0}}},
            "'objective.infonce.weight' is 0, but it should be greater than 0.",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"symmetric": True, "terms": ["query-query"]}}},
            "'objective.infonce': symmetric and terms both add comparisons ",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"tau_plus": 0.1, "terms": ["query-query"]}}},
            "'objective.infonce': tau_plus corrects the sum over documents only: ",
        ),
        (
            Contrastive,
            TRAIN | {"objective": {"infonce": {"terms": ["query-querry"]}}},
            "'objective.infonce.terms.0' is 'query-querry', but it should be 'query-query', ",
        ),
        (Contrastive, TRAIN | {"objective": {}}, "'objective': names no loss: name at least one."),
        (Contrastive, TRAIN | {"objective": 3}, "'objective' is 3, but it should be "),
        (
            Contrastive,
            TRAIN | {"data": {"a": {"objective": "cosin"}}},
            "unknown key 'data.a.objective.cosin'; did you mean 'cosine'?",
        ),
        (
            Contrastive,
            TRAIN | {"data": {"a": {"objective": {"cosine": {"wieght": 2}}}}},
            "unknown key 'data.a.objective.cosine.wieght'; did you mean 'weight'?",
        ),
        (
            Contrastive,
            TRAIN | {"prompts": {"query": {"retreival": "q"}}},
            "'prompts.query.retreival': it is neither a task type nor a task that mteb knows: write retrieval.",
        ),
        (
            Contract,
            {"prompts": {"document": {"Banking77Classification": "a: "}}},
            (
                "prompts.document.Banking77Classification is never used, because its texts have no side and get"
                " prompts.query.Bank"
            ),
        ),
        (
            Contract,
            {"prompts": {"query": {"sts": 3}}},
            "'prompts.query.sts': it should be a text, or a list of texts that say the ",
        ),
        (Contract, {"prompts": {"query": {"sts": []}}}, "'prompts.query.sts' is [], but it should name at least 1."),
        (
            Contract,
            {"task_prompts": "mteb"},
            "task_prompts: mteb needs templates.query, because mteb's prompts are instructions ",
        ),
        *(
            (
                Contract,
                {"templates": {"query": template}},
                "'templates.query': a template has {instruction} once, and {text} once",
            )
            for template in (
                "{text}",
                "{instruction} {text} ",
                "{instruction}{instruction}{text}",
                "{text}{instruction}{text}",
            )
        ),
        (
            Dataset,
            {"corpus": "a", "task": "sts", "prompts": {"document": "a: "}},
            "prompts.document is never used, as both texts of a row of sts get prompts.query: remove it",
        ),
        (
            Table,
            {"type": "table", "pairs": {}, "task": "sts", "columns": {"document_prompt": "a"}},
            "columns.document_prompt is never used, as both texts of a row of sts get columns.query_prompt: remove it",
        ),
        (
            Contrastive,
            TRAIN | {"prompts": {"qury": {}}},
            "'prompts.qury' is 'qury', but it should be 'query' or 'document'.",
        ),
        (
            Contrastive,
            TRAIN | {"mining": {"model": "a", "ranks": [9, 2]}},
            "'mining': ranks [9, 2] hold no document; write ",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": [{"length": {"query": [9, 2]}}]},
            "'filters.0.length': query [9, 2] admits no text; write the shorter length first.",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": ["clean", "lenght"]},
            "unknown key 'filters.1.lenght'; did you mean 'length'?",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": [{"length": {"qery": [1, 2]}}]},
            "unknown key 'filters.0.length.qery'; did you ",
        ),
        (Dataset, {"corpus": "a", "filters": [{"score": {"min": 1}}]}, "'filters.0.score.teacher' is missing; add it."),
        (
            Dataset,
            {"corpus": "a", "filters": [{"contamination": {"against": []}}]},
            "'filters.0.contamination.against' is [], ",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": [{"contamination": {"against": ["b"], "methods": {"ngram": {"test": "stop"}}}}]},
            "methods.ngram says what is done, but this filter only drops; say it in the recipe's leaks",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": [{"contamination": {"against": ["b"], "methods": {}}}]},
            "methods names none, so nothing is compared; write methods: {hash: {}}",
        ),
        (
            Dataset,
            {"corpus": "a", "filters": [{"clean": {}, "empty": {}}]},
            (
                "'filters.0': an item of the list is one filter, and this one names clean, empty; write each behind its"
                " own dash."
            ),
        ),
        # The former form.
        (
            Dataset,
            {
                "corpus": "a",
                "query_characters": [8, 400],
                "decontaminate": ["b"],
                "teacher": {"model": "m"},
                "min_score": 0.5,
            },
            (
                "query_characters, decontaminate, teacher, min_score are settings of filters now; write filters:"
                " [clean, empty, {length: {query: [8, 400]}}, duplicate, {contamination: {against: [b]}}, {score:"
                " {teacher: {model: m}, min: 0.5}}]."
            ),
        ),
        (
            Dataset,
            {"corpus": "a", "filters": ["clean"], "decontaminate": ["b"]},
            "decontaminate is a setting of filters now; write filters: [clean, {contamination: {against: [b]}}].",
        ),
        (Contract, [1, 2], "the whole is [1, 2], but it should be a map of settings"),
        (
            Linear,
            {"type": "linear", "from": ["a", "b"], "weights": "gredy"},
            "'weights' is 'gredy', but it should be 'uniform', 'greedy'",
        ),
        (
            Slerp,
            {"type": "slerp", "from": ["a", "b"], "weights": "grid"},
            "weights: grid chooses by a development set: set development: {data: <data set>}.",
        ),
        (
            Linear,
            {"type": "linear", "from": ["a", "b"], "development": {"data": "c", "divisions": 4}},
            "development.divisions is about weights: grid: remove it, or set weights: grid.",
        ),
        (
            Contrastive,
            TRAIN | {"objective": "margin_mse"},
            "the whole: the objective 'margin_mse' learns from a teacher: give the stage a teacher.",
        ),
        (
            Contrastive,
            TRAIN | {"objective": "embedding_mse", "teacher": {"model": "a", "type": "cross-encoder"}},
            "the objective 'embedding_mse' learns embeddings, which a cross-encoder does not have: use a bi-encoder",
        ),
        (
            Contrastive,
            TRAIN | {"teacher": {"model": "a", "type": "cross-encoder"}},
            "no objective learns from the teacher: remove it, or name an objective such as margin_mse",
        ),
        (
            Contrastive,
            TRAIN | {"teacher": {"model": "a", "type": "cross-encoder", "max_token": 2}},
            "unknown key 'teacher.max_token'; did you mean 'max_tokens'?",
        ),
        (
            Contrastive,
            TRAIN | {"teacher": {"model": "a", "kind": "cross-encoder"}},
            "'teacher': 'kind' is now called 'type'; write teacher: {model: a, type: cross-encoder}.",
        ),
        (
            Contrastive,
            STORED | {"teacher": {"type": "stored", "model": "a"}},
            "unknown key 'teacher.model'; known are: type.",
        ),
        (
            Contrastive,
            STORED | {"objective": "embedding_mse"},
            "the objective 'embedding_mse' learns embeddings, which are not stored: use a bi-encoder",
        ),
        (
            Contrastive,
            STORED | {"mining": {"model": "base"}},
            "mining finds negatives without a stored score: set mine: false, or name a model as teacher",
        ),
        (
            Contrastive,
            TRAIN | {"teacher": {"model": "a", "type": "bi-encoder", "poling": 1}},
            "did you mean 'pooling'?",
        ),
        (
            Dataset,
            {"corpus": "a", "task": "retrieva"},
            "'task' is 'retrieva', but it should be 'retrieval', 'reranking'",
        ),
        (Hub, {"type": "hub", "id": "a/b", "revision": "main"}, "'revision' is 'main', but "),
    ],
)
def test_a_wrong_value_is_one_sentence(kind, values, message):
    with pytest.raises(AscentError) as error:
        check(kind, values, "the.yaml")
    text = str(error.value)
    assert text.startswith("the.yaml: ")
    assert message in text
    assert "\n" not in text
