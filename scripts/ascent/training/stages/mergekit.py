"""The merge methods of the package mergekit, which sentence-transformers' `merge` calls, too.

sentence-transformers' own function loads all models whole; mergekit's merges one tensor at a time.
"""

import torch

from ...errors import AscentError
from ...settings.merging import Mergekit


def mergekit(tensors: list[torch.Tensor], weights: list[float], stage: Mergekit) -> torch.Tensor:
    """Merge tensors of one shape by the stage's method; weights are not used, since they are a method's own parameter.

    Raises AscentError if mergekit is missing, or refuses the method, its parameters or its number of models.
    """
    try:
        from mergekit import merge_methods
        from mergekit.merge_methods.api import merge_tensors
    except ImportError:
        raise AscentError(
            f"type: mergekit needs the package mergekit, which is not installed; run pip install '{Mergekit.package}',"
            " or use type: linear or slerp."
        ) from None
    try:
        method = merge_methods.get(stage.method)
        parameters = dict(stage.parameters)
        if "weight" in {parameter.name for parameter in method.spec.parameters}:
            parameters.setdefault("weight", 1.0)
        base = None if stage.base is None else stage.parents.index(stage.base)
        return merge_tensors(tensors, method, parameters=parameters, base_index=base)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise AscentError(
            f"mergekit refuses method {stage.method} here ({reason}); fix the stage's settings."
        ) from None
