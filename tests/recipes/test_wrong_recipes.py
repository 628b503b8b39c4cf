"""Recipes and configurations that are wrong: one sentence each."""

import pytest

from ascent.errors import AscentError
from ascent.recipes.loading import load_recipes
from support.recipes import PRETRAINING, changed, filters

ITSELF = {"data__texts": {"corpus": "library", "positive": "query"}, "stages__contrastive__data": ["texts"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stages__finetune__learning_rat": 1},
            "unknown key 'stages.finetune.learning_rat'; did you mean 'learning_rate'?",
        ),
        (
            {"stages__finetune__adapter": {"rank": 8}},
            "'stages.finetune.adapter' lacks 'type', which says what kind it is",
        ),
        (
            {"stages__finetune__adapter": "lora"},
            "'stages.finetune.adapter' is 'lora', but it should be a map of settings.",
        ),
        ({"stages__finetune__queue": True}, "'stages.finetune.queue' is true, but it should be a map of settings."),
        (
            {"stages__finetune__adapter": {"type": "lora", "targets": "q_proj"}},
            "'stages.finetune.adapter.targets' is 'q_proj', but it should be 'all-linear'",
        ),
        (
            {
                "data__questions": {"corpus": "library", "task": "classification"},
                "stages__contrastive__data": {"questions": {"in_batch": True}},
                "stages__finetune__data": {"questions": {"in_batch": True}},
            },
            (
                "'stages.finetune.mining' finds negatives among texts, but all positives are labels of classes; set"
                " mine: true"
            ),
        ),
        (
            {"stages__finetune__mining__per_query": 31},
            "ranks [0, 30] hold fewer documents than per_query, 31; widen them",
        ),
        ({"stages__finetune__dropout": True}, "'stages.finetune.dropout' is true, but it should be a number."),
        ({"stages__finetune__epochs": "3"}, "'stages.finetune.epochs' is '3', but it should be a "),
        (
            {"release__name": "tickets"},
            "'release.name' is 'tickets', but it should be organisation/name, without spaces.",
        ),
        ({"stages__finetune__from": []}, "'stages.finetune.from' is [], but it should name at least 1."),
        ({"evalute": {}}, "unknown key 'evalute'; did you mean 'evaluate'?"),
        (
            {"stages__finetune__from": ["contrastve"]},
            "'stages.finetune.from' names the stage 'contrastve', which does not exist; did you mean 'contrastive'?",
        ),
        (
            {"stages__contrastive__adapter": {"type": "lora", "rnak": 4}},
            "unknown key 'stages.contrastive.adapter.rnak'; did you mean 'rank'?",
        ),
        (
            {"stages__contrastive__adapter": {"type": "soft_prompt"}},
            (
                "'stages.contrastive.adapter' trains soft tokens, but no prompt of its data sets' task types contains"
                " any; set base.soft_tokens and put <soft0> and so on into these prompts."
            ),
        ),
        (
            {
                "base__soft_tokens": 1,
                "base__prompts": {"query": {"sts": "<soft0>"}},
                "stages__contrastive__adapter": {"type": "soft_prompt"},
            },
            (
                "'stages.contrastive.adapter' trains soft tokens, but no prompt of its data sets' task types contains"
                " any; set "
            ),
        ),
        (
            {"stages__contrastive__objective": "spread_out"},
            (
                "'stages.contrastive.objective' of data set 'questions' is only a regulariser, spread_out; name a loss"
                " in addition."
            ),
        ),
        (
            {
                "base__normalise": False,
                "base__similarity": "dot",
                "stages__contrastive__objective": {"infonce": {"tau_plus": 0.1}},
            },
            (
                "'stages.contrastive.objective' sets tau_plus, which needs unit-length embeddings, but base.normalise"
                " is false"
            ),
        ),
        (
            {
                "data__questions__filters": filters(
                    score={"teacher": {"model": "tiny", "prompts": {"query": {"NQ": "find: "}}}}
                )
            },
            (
                "'data.questions.filters' gives the teacher a prompt for NQ, but a teacher embeds no texts of mteb's"
                " tasks; give it"
            ),
        ),
        (
            {"data__questions__filters": ["clean", {"tokens": {"model": "tinny"}}]},
            "'data.questions.filters' names the model 'tinny', which does not exist; did you mean 'tiny'?",
        ),
        (
            {"data__questions__prompts": {"query": ["a", "<soft0>"]}},
            "a prompt of data set 'questions' holds '<soft0>', but base.soft_tokens is 0; raise it, or fix the prompt.",
        ),
        (
            {"data__questions__filters": ["clean", {"cap": {"by": "host", "rows": 9}}]},
            (
                "'data.questions.filters' counts rows by host, but the reader 'table' of the corpus 'library' tells no"
                " origins; have it read them, as `table` does by columns: {origin: url}, or count by something else."
            ),
        ),
        (
            {"data__questions__repeat": {"by": "origin", "rows": 9}},
            "'data.questions.repeat' counts rows by origin, but the reader 'table' of the corpus 'library' tells no",
        ),
        (
            {"base__soft_tokens": 2, "stages__finetune__prompts": {"query": {"retrieval": "<soft0><soft2>"}}},
            "a prompt of stage 'finetune' holds '<soft2>', but base.soft_tokens is 2; raise it, or fix the prompt.",
        ),
        (
            {"stages__contrastive__adapter": {"type": "qlora"}, "stages__contrastive__zero": 3},
            "adapter: qlora supports neither zero: 3 nor precision: float8: set zero: 2, bfloat16",
        ),
        (
            {"stages__contrastive__weights": "bfloat16"},
            "'stages.contrastive': weights: bfloat16 needs zero: 1, 2 or 3, whose optimizer holds the float32 weights.",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": "mlm", "adapter": {"type": "soft_prompt"}}},
            (
                "'stages.contrastive': adapter: soft_prompt trains tokens of prompts, and pre-training uses no prompts:"
                " use lora."
            ),
        ),
        (
            {"stages__finetune__objective": {"infonce": {"mixing": {"listwise": True}}}},
            "'stages.finetune': mixing combines two negatives of a row, but mining.per_query is 1: raise it.",
        ),
        (
            {"stages__contrastive__from": ["finetune"]},
            "the stages go in a circle (contrastive <- finetune <- contrastive)",
        ),
        ({"stages__contrastive__from": ["contrastive"]}, "the stages go in a circle"),
        (
            {"stages__finetune__mining__model": "merge"},
            "the stages go in a circle",
        ),
        (
            {"stages__contrastive__from": ["base", "base"]},
            "'stages.contrastive.from' has 2 parents, but training starts",
        ),
        (
            {"stages__base": {"objective": "infonce", "data": ["questions"]}},
            "'stages.base' is the name of the model before training",
        ),
        (
            {"stages__finetune__data": ["question"]},
            "'stages.finetune.data' names the data set 'question', which does not exist; did you mean 'questions'?",
        ),
        (
            {"stages__finetune__mining__model": "contrast"},
            (
                "'stages.finetune.mining.model' names the stage 'contrast', which does not exist; did you mean"
                " 'contrastive'?"
            ),
        ),
        ({"base__model": "tny"}, "'base.model' names the model 'tny', which does not exist; did you mean 'tiny'?"),
        (
            {"data__questions__corpus": "libary"},
            "'data.questions.corpus' names the corpus 'libary', which does not exist; did you mean 'library'?",
        ),
        (
            {"data__questions__filters": [{"contamination": {"against": ["libary"]}}]},
            "'data.questions.filters' names the corpus or task 'libary', which does not exist; did you mean 'library'?",
        ),
        (
            {"data__questions__filters": [{"score": {"teacher": {"model": "big"}, "min": 0}}]},
            "'data.questions.filters' names the model 'big', which does not exist; known are: tiny.",
        ),
        (
            {
                "stages__finetune__objective": "distill_kl",
                "stages__finetune__teacher": {"model": "big", "type": "cross-encoder"},
            },
            "'stages.finetune.teacher.model' names the model 'big', which does not exist; known are: tiny.",
        ),
        (
            {"stages__finetune__objective": {"infonce": {}, "distill_kl": {}}},
            "'stages.finetune': the objective 'distill_kl' learns from a teacher: give the stage a teacher.",
        ),
        (
            {"evaluate__tasks__Similar__type": "stz"},
            "'evaluate.tasks.Similar.type' is 'stz'; did you mean 'sts'?",
        ),
        (
            {"evaluate__tasks__Similar__corpus": "simlar"},
            "'evaluate.tasks.Similar.corpus' names the corpus 'simlar', which does not exist; did you mean 'similar'?",
        ),
        (
            {"evaluate__stages": ["base", "merged"]},
            "'evaluate.stages' names the stage 'merged', which does not exist; did you mean 'merge'?",
        ),
        (
            {"release__stage": "merged"},
            "'release.stage' names the evaluated stage 'merged', which does not exist; did you mean 'merge'?",
        ),
        (
            ITSELF | {"stages__contrastive__dropout": 0},
            (
                "'stages.contrastive.dropout' is 0, but in data set 'texts' query and positive are the same text, so"
                " their "
            ),
        ),
        (
            ITSELF | {"stages__contrastive__prompts": {"query": {"retrieval": "find: "}}},
            (
                "'stages.contrastive.prompts' differ by side, but in data set 'texts' query and positive are the same"
                " text; give both sides the same prompt, or none."
            ),
        ),
        (
            ITSELF | {"stages__finetune__data": ["questions", "texts"]},
            (
                "'stages.finetune.mining' finds negatives of pairs, but in data set 'texts' query and positive are the"
                " same text"
            ),
        ),
        (
            ITSELF
            | {
                "stages__contrastive__data": ["questions"],
                "stages__contrastive__development": {"data": "texts"},
            },
            (
                "'stages.contrastive.development' needs something to find, but in data set 'texts' query and positive"
                " are the same"
            ),
        ),
        (
            {"data__questions__positive": "query"},
            "positive: query leaves a teacher nothing to score, since both texts are one; remove the filter",
        ),
        ({"stages__merge__weights": [1]}, "'stages.merge.weights' has 1 numbers for 2 parents; give one per parent."),
        (
            {"stages__merge__from": ["finetune"]},
            "'stages.merge.from' names finetune alone, but a merge needs two models; name",
        ),
        (
            {"stages__merge": {"type": "bfloat16", "from": ["contrastive", "base"]}},
            "'stages.merge.from' has 2 parents, but one model is rounded; merge them first.",
        ),
        (
            {
                "stages__merge": {
                    "type": "mergekit",
                    "method": "ties",
                    "base": "finetune",
                    "from": ["contrastive", "base"],
                }
            },
            "'stages.merge.base' names 'finetune', which is not a parent of it; add it to from.",
        ),
        (
            {"stages__merge__from": ["base", "base"]},
            "'stages.merge.from' names 'base' more than once; name it once, with the",
        ),
        (
            {"stages__merge__development": {"data": "questions"}},
            (
                "'stages.merge.development.data' is 'questions', which stage 'contrastive' trains on; name another data"
                " set."
            ),
        ),
        (
            {
                "data__held": {"corpus": "library", "split": "validation"},
                "stages__merge__from": ["base", "contrastive", "finetune"],
                "stages__merge__weights": "grid",
                "stages__merge__development": {"data": "held", "divisions": 50},
            },
            (
                "'stages.merge.weights' is grid, which would score 1,326 mixtures; lower development.divisions, or use"
                " greedy."
            ),
        ),
        (
            {"stages__merge__prompts": None},
            "the parents of stage 'merge' (contrastive, finetune) have different prompts",
        ),
        ({"release__name": "small"}, "'release.name' is 'small', but "),
        (
            {
                "stages__contrastive": {
                    "type": "pretraining",
                    "objective": "mlm",
                    "data": ["questions"],
                    "matryoshka": {16: 1},
                }
            },
            "unknown key 'stages.contrastive.matryoshka'; ",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": {"type": "retromae", "encoder_masc": 0.3}}},
            "unknown key 'stages.contrastive.objective.encoder_masc'; did you mean 'encoder_mask'?",
        ),
        (
            {"stages__contrastive": PRETRAINING | {"objective": {"retromae": {"encoder_mask": 0.2}}}},
            "a map from a name is no longer how one objective is chosen: write {type: retromae, encoder_mask: 0.2}.",
        ),
        (
            {"stages__contrastive": {"objective": "retromae", "data": ["questions"]}},
            "'stages.contrastive': the objective retromae belongs to another kind of stage: add type: pretraining.",
        ),
        (
            {"stages__merge": {"from": ["contrastive", "finetune"], "method": "linear", "weights": [1, 1]}},
            "'stages.merge': method: linear is no longer how a stage says its kind: write type: linear.",
        ),
        ({"stages__merge__type": "zzz"}, "'stages.merge.type' is 'zzz'; known are: bfloat16, contrastive, linear"),
        (
            {"stages__contrastive": PRETRAINING | {"objective": "mntp"}, "base__attention": "causal"},
            (
                "'stages.contrastive.objective' predicts a token from both sides of it, but base.attention is causal;"
                " set it to"
            ),
        ),
    ],
)
def test_a_wrong_recipe_is_one_sentence(write, changes, message):
    with pytest.raises(AscentError) as error:
        load_recipes(write(small=changed(**changes)))
    text = str(error.value)
    assert message in text
    assert "small.yaml" in text.split(": ")[0]
    assert "\n" not in text
