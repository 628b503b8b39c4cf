"""What the tests of recipes share."""

import pytest
import yaml

from support.recipes import CORPUS


@pytest.fixture
def write(tmp_path):
    """Write recipes by name, and return a configuration that builds them."""

    def _write(**recipes) -> dict:
        for name, recipe in recipes.items():
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        return {
            "recipes": list(recipes),
            "recipe_folder": str(tmp_path),
            "corpora": dict.fromkeys(("library", "modules", "similar"), CORPUS),
            "models": {"tiny": {"source": {"type": "files", "paths": ["model"]}, "licence": "mit"}},
        }

    return _write
