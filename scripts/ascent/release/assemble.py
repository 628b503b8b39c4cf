"""The released folder, assembled and compared with the evaluated model."""

import json
import shutil
from pathlib import Path
from typing import get_args

from ..errors import AscentError
from ..files import copy_folder, folder_atomically, read_json
from ..model.ending import added_tokens
from ..model.exchange import requirements, write_exchange
from ..settings.licences import TERMS
from ..settings.recipe import ReleaseSettings
from .card import make_card
from .provenance import ship_sources


def release_model(
    settings: ReleaseSettings, model: Path, output: Path, *, radar: Path, results: list[Path], **files
) -> None:
    """Write the release: the model, README.md, the radar, and mteb's results as its results repository lays them out.

    `results`: the released stage's <Task>.json; `files`: the other inputs of `make_card`. Raises AscentError if
    sentence-transformers, or mteb's wrapper in one of the tasks, gives other outputs than the evaluated ones.
    """
    from ..evaluation.model import model_meta
    from ..evaluation.zero_shot import zero_shot
    from ..model.encoder import Encoder
    from ..model.unloaded import stored_dtype
    from .parity import check_outputs, descriptions, largest_difference, open_as_mteb

    release = settings.recipe.release
    with folder_atomically(output) as folder:
        copy_folder(model, folder)
        encoder = Encoder(folder, precision="float32")
        write_exchange(folder, encoder.contract)
        wrapper = open_as_mteb(folder, encoder)
        check_outputs(folder, encoder, wrapper.model)
        tasks = descriptions(settings.recipe.evaluate, [read_json(path)["task_name"] for path in results])
        difference = largest_difference(folder, encoder, wrapper, tasks)
        print(f"mteb's own wrapper gives the evaluated embeddings in all {len(tasks)} tasks, to {difference:.1e}.")
        shutil.copyfile(radar, folder / f"radar{radar.suffix}")
        upstream = settings.models[settings.recipe.base.model].upstream
        licence, languages = mteb_licence(release.licence), mteb_languages(release.languages)
        zero = zero_shot(settings.recipe, settings.corpora, settings.models)
        learnt = {"adapted_from": upstream or None, "training_datasets": set(zero.named)}
        meta = model_meta(encoder, release.name, license=licence, languages=languages, **learnt)
        results_folder = folder / "results" / release.name.replace("/", "__") / meta.revision
        results_folder.mkdir(parents=True)
        for path in results:
            shutil.copyfile(path, results_folder / path.name)
        write_meta(results_folder / "model_meta.json", meta)
        facts = {"dimension": meta.embed_dim, "parameters": meta.n_parameters, "revision": meta.revision}
        facts["stored"] = str(stored_dtype(folder)).removeprefix("torch.")
        ends = added_tokens(encoder.tokenizer.backend_tokenizer)[1]
        facts |= {"end": ends[-1] if ends else None, "padding": encoder.tokenizer.padding_side}
        facts |= {"difference": difference, "tasks": len(tasks), "requirements": requirements(folder, encoder.contract)}
        places = ship_sources([files["scores"], files["significance"], files["leakage"], *files["audits"]], folder)
        card = make_card(
            settings,
            model,
            results=results,
            facts=facts,
            places=places,
            zero=zero,
            radar=f"radar{radar.suffix}",
            **files,
        )
        card.save(folder / "README.md")


def mteb_licence(word: str) -> str | None:
    """Return a licence as mteb's ModelMeta has it: mteb's word or the address of the licence's text; None if it has
    neither."""
    from mteb.types import Licenses

    spdx = TERMS[word].spdx
    return word if word in get_args(Licenses) else f"https://spdx.org/licenses/{spdx}.html" if spdx else None


def mteb_languages(names: list[str]) -> list[str] | None:
    """Return the languages that a hub calls `names` as mteb calls them, `eng-Latn` for `en`; None if it knows none.

    One that it does not know (`multilingual` is not a language) is told and left out.
    """
    from mteb.languages.iso_mappings import _hf_langs_to_iso_lang_scripts

    for name in names:
        if not _hf_langs_to_iso_lang_scripts([name]):
            print(f"release.languages: mteb has no name for '{name}', so model_meta.json leaves it out.")
    return _hf_langs_to_iso_lang_scripts(list(names))


def write_meta(path: Path, meta) -> None:
    """Write mteb's description of a model. Raises AscentError if mteb does not read back what it says."""
    from pydantic import ValidationError

    values = meta.to_dict()
    values["training_datasets"] = sorted(values["training_datasets"] or [])
    text = json.dumps(values, default=str, indent=4)
    try:
        type(meta).model_validate_json_resolved(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:1])) or "model"
        raise AscentError(
            f"{path}: mteb cannot read back {where} = {first['input']!r}; write it as mteb does."
        ) from None
    path.write_text(text)
