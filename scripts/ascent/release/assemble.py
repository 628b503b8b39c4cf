"""The released folder, assembled and compared with the evaluated model."""

import shutil
from pathlib import Path

from ..errors import AscentError
from ..files import folder_atomically
from ..model.heads import write_code
from ..model.saving import prompt_name
from ..settings.recipe import ReleaseSettings
from .card import make_card

# Largest difference between the released folder's outputs and the evaluated ones, relative to the largest number or to 1.
TOLERANCE = 1e-5
PROBES = (
    "short",
    "What does a term life policy cover?",
    "A longer text, cut at the end if it must be. " * 60,
)


def release_model(settings: ReleaseSettings, model: Path, output: Path, *, radar: Path, results: list[Path], **files) -> None:
    """Write the release: the model, README.md, the radar, and mteb's results as its results repository lays them out.

    `results`: the released stage's <Task>.json; `files`: the other inputs of `make_card`. Raises AscentError if
    sentence-transformers gives other outputs than the evaluated ones.
    """
    import json

    from ..evaluation.model import model_meta
    from ..model.encoder import Encoder

    release = settings.recipe.release
    with folder_atomically(output) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
        encoder = Encoder(folder, precision="float32")
        write_code(folder, encoder.contract)
        check_outputs(folder, encoder)
        shutil.copyfile(radar, folder / f"radar{radar.suffix}")
        upstream = settings.models[settings.recipe.base.model].upstream
        languages = sorted({corpus.language for corpus in settings.corpora.values()})
        meta = model_meta(encoder, release.name, license=release.licence, languages=languages, adapted_from=upstream or None)
        results_folder = folder / "results" / release.name.replace("/", "__") / meta.revision
        results_folder.mkdir(parents=True)
        for path in results:
            shutil.copyfile(path, results_folder / path.name)
        (results_folder / "model_meta.json").write_text(json.dumps(meta.to_dict(), default=str, indent=4))
        facts = {"dimension": meta.embed_dim, "parameters": meta.n_parameters, "revision": meta.revision}
        card = make_card(settings, model, results=results, facts=facts, radar=f"radar{radar.suffix}", **files)
        card.save(folder / "README.md")


def check_outputs(folder: Path, encoder) -> None:
    """Raise AscentError unless SentenceTransformer(folder) gives the encoder's outputs, token-level ones included."""
    import torch
    from sentence_transformers import SentenceTransformer

    # Any code in the folder is our own, from write_code.
    plain = SentenceTransformer(str(folder), device=str(encoder.device), trust_remote_code=encoder.contract.heads.need_code)
    heads, special = encoder.contract.heads.per_token, torch.tensor(encoder.tokenizer.all_special_ids)
    prompts = {(side, task) for side, tasks in encoder.contract.prompts.items() for task in tasks}
    for side, task in sorted(prompts | {("query", "retrieval"), ("document", "retrieval")}):
        ours = encoder.encode_tokens(PROBES, heads, side=side, task=task)
        theirs = plain.encode(list(PROBES), prompt_name=prompt_name(side, task), output_value=None)
        parts = [torch.stack([text["sentence_embedding"] for text in theirs])]
        for head in heads:
            name, per_text = encoder.model.heads[head].module_output_name, []
            for text, length in zip(theirs, ours.tokens.lengths.tolist(), strict=True):
                tokens = text["attention_mask"].bool() & ~torch.isin(text["input_ids"], special.to(text["input_ids"]))
                per_text.append(text[name][tokens][int(tokens.sum()) - length :])  # without a prompt that is not pooled
            parts.append(torch.cat(per_text))
        for what, mine, other in zip(("embeddings", *heads), ours.parts, parts, strict=True):
            difference = float((mine - other).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(mine.abs().max())):
                raise AscentError(
                    f"{folder}: sentence-transformers' {what} ({prompt_name(side, task)}) differ by {difference:.1e} from the "
                    "evaluated ones, because its modules or prompts disagree with ascent.json; build the model again."
                )
