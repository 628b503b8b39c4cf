"""What settings mean: the docstrings under their fields, read from the source when schemas are made.

Pydantic's `use_attribute_docstrings` reads them whenever the classes are imported, and looks for each class among all
modules: two seconds of every step that has imported torch.
"""

import ast
import inspect
import sys
from functools import cache

from ..settings.base import Settings


def descriptions(model: type[Settings]) -> dict[str, str]:
    """Return the description of each field by name: that of `Field`, else the docstring under it."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Settings):
            found |= _docstrings(kind.__module__).get(kind.__name__, {})
    given = {name: field.description for name, field in model.model_fields.items() if field.description}
    return {name: text for name, text in (found | given).items() if name in model.model_fields}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return by class of a module, and by field, the docstring under the field."""
    found: dict[str, dict[str, str]] = {}
    source = ast.parse(inspect.getsource(sys.modules[module]))
    for node in (each for each in source.body if isinstance(each, ast.ClassDef)):
        fields = found.setdefault(node.name, {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                fields[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found
