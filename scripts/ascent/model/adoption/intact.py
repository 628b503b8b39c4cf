"""The files of a model folder: all there, whole, and none that transformers would leave out in silence.

Nothing here imports torch.
"""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ...errors import AscentError
from ...files import read_json

WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
# How a file begins that stands for one in Git's large file storage.
POINTER = b"version https://git-lfs"


def check_files(folder: str | Path) -> dict:
    """Return the contents of a model folder's config.json.

    Raises AscentError if a file is missing, damaged or only a pointer to one, or the folder holds an adapter.
    """
    folder = Path(folder)
    refuse_pointers(folder)
    if (folder / ADAPTER).exists():
        base = read_json(folder / ADAPTER).get("base_model_name_or_path")
        raise AscentError(
            f"{folder / ADAPTER}: is an adapter of '{base}', which would not be loaded; give this model of the"
            " catalogue adapter_of: <the name there of what it adapts> to merge it, or, if the weights beside it hold"
            " it already, leave this file out of the source."
        )
    if not (folder / "config.json").exists():
        raise AscentError(f"{folder}: holds no config.json, so it is not a model folder; check the model's source.")
    weight_files(folder)
    for path in [*folder.glob("*.safetensors"), *folder.glob("[0-9]_*/*.safetensors")]:
        tensor_shapes(path)
    contents = {path.name: read_json(path) for path in sorted(folder.glob("*.json"))}
    return contents["config.json"]


def refuse_pointers(folder: Path) -> None:
    """Raise AscentError for a file that only stands for one in Git's large file storage."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size < 1024 and path.read_bytes().startswith(POINTER):
            raise AscentError(
                f"{path}: is a pointer of Git LFS and not the file itself; run `git lfs pull` where it comes from,"
                f" remove {folder} and re-run."
            )


def weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers loads a folder's weights from: model.safetensors, or the parts that its index
    names.

    Raises AscentError if there are none, or a part or one of its weights is missing.
    """
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        others = sorted(folder.glob("*.safetensors"))
        if others:
            raise AscentError(
                f"{others[0]}: is not {WEIGHTS}, and no {INDEX} names it as a part; rename it, or add the index."
            )
        raise AscentError(
            f"{folder}: has no safetensors weights, and pickled weights are never loaded; convert them first."
        )
    places, found = read_json(folder / INDEX)["weight_map"], {}
    for name in sorted(set(places.values())):
        if not (folder / name).exists():
            raise AscentError(f"{folder / name}: is missing, but {INDEX} names it; retrieve it, too.")
        found[name] = tensor_shapes(folder / name)
    lost = [(tensor, name) for tensor, name in places.items() if tensor not in found[name]]
    if lost:
        raise AscentError(
            f"{folder / lost[0][1]}: lacks {lost[0][0]}, which {INDEX} says it holds; retrieve both again."
        )
    return [folder / name for name in found]


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Return the shapes of a safetensors file's tensors by name. Raises AscentError unless the file is whole."""
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (it is not a dict)
    except (SafetensorError, OSError) as error:
        raise AscentError(
            f"{path}: not a whole safetensors file ({error}); remove its folder and retrieve it again."
        ) from None
