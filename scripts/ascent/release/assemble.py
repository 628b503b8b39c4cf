"""The released folder, put together and compared with what was evaluated."""

import shutil
from pathlib import Path

from ..errors import AscentError
from ..files import folder_atomically
from ..model.heads import write_code
from ..model.saving import prompt_name
from ..settings.recipe import ReleaseSettings
from .card import make_card

# What the released folder gives may differ this much from what was evaluated, as a share of the largest number or of 1.
TOLERANCE = 1e-5
PROBES = (
    "short",
    "What does a term life policy cover?",
    "A longer text, cut at the end if it must be. " * 60,
)


def release_model(settings: ReleaseSettings, model: Path, output: Path, *, radar: Path, results: list[Path], **files) -> None:
    """Write the release: the model, README.md, the radar, and mteb's results in the layout of its results repository.

    `results`: the released stage's <Task>.json; `files`: the other inputs of `make_card`. Raises AscentError when
    sentence-transformers, as a user would call it, gives another output than the one that was evaluated.
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
        booked = folder / "results" / release.name.replace("/", "__") / meta.revision
        booked.mkdir(parents=True)
        for path in results:
            shutil.copyfile(path, booked / path.name)
        (booked / "model_meta.json").write_text(json.dumps(meta.to_dict(), default=str, indent=4))
        facts = {"dimension": meta.embed_dim, "parameters": meta.n_parameters, "revision": meta.revision}
        card = make_card(settings, model, results=results, facts=facts, radar=f"radar{radar.suffix}", **files)
        card.save(folder / "README.md")


def check_outputs(folder: Path, encoder) -> None:
    """Raise AscentError unless SentenceTransformer(folder) gives what the encoder gives, for every prompt it has: the embeddings,
    and what heads beside them give for each token."""
    import torch
    from sentence_transformers import SentenceTransformer

    # The code of a head is a copy of ours, which write_code has put there.
    plain = SentenceTransformer(str(folder), device=str(encoder.device), trust_remote_code=encoder.contract.heads.need_code)
    heads, special = encoder.contract.heads.beside, torch.tensor(encoder.tokenizer.all_special_ids)
    prompts = {(side, task) for side, tasks in encoder.contract.prompts.items() for task in tasks}
    for side, task in sorted(prompts | {("query", "retrieval"), ("document", "retrieval")}):
        ours = encoder.encode_tokens(PROBES, heads, side=side, task=task)
        theirs = plain.encode(list(PROBES), prompt_name=prompt_name(side, task), output_value=None)
        parts = [torch.stack([text["sentence_embedding"] for text in theirs])]
        for head in heads:
            name, of_tokens = encoder.model.heads[head].module_output_name, []
            for text, length in zip(theirs, ours.tokens.lengths.tolist(), strict=True):
                own = text["attention_mask"].bool() & ~torch.isin(text["input_ids"], special.to(text["input_ids"]))
                of_tokens.append(text[name][own][int(own.sum()) - length :])  # behind a prompt that is not pooled
            parts.append(torch.cat(of_tokens))
        for what, mine, other in zip(("embeddings", *heads), ours.parts, parts, strict=True):
            difference = float((mine - other).abs().max())
            if not difference <= TOLERANCE * max(1.0, float(mine.abs().max())):
                raise AscentError(
                    f"{folder}: sentence-transformers' {what} ({prompt_name(side, task)}) differ by {difference:.1e} from those "
                    "that were evaluated; its modules or prompts do not say what ascent.json says, so build the model again."
                )
