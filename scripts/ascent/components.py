"""The code of components: a component is a file that is found by its name (settings/base.py)."""

from importlib import import_module
from types import ModuleType
from typing import Any

from .settings.base import Component


def module_of(settings: Component) -> ModuleType:
    """Import the module that a component's settings belong to."""
    return import_module(f".{settings.folder}.{settings.component()}", __package__)


def code_of(settings: Component) -> Any:
    """Return what the component's module defines under its name: the function `margin_mse`, or the class
    `Contrastive`."""
    module = module_of(settings)
    return getattr(module, settings.component(), None) or getattr(module, type(settings).__name__)
