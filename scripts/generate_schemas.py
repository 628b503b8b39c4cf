"""Write the schemas and docs/reference.md from the settings' models, and docs/recipes.md from the recipes."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_atomically
from ascent.recipes.schemas import config_schema, recipe_schema, reference_text, schema_text
from ascent.recipes.side_by_side import recipes_text


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="folder of config/schemas and docs")
    folder = parser.parse_args().folder
    texts = {
        folder / "config" / "schemas" / "config.schema.yaml": schema_text(config_schema()),
        folder / "config" / "schemas" / "recipe.schema.yaml": schema_text(recipe_schema()),
        folder / "docs" / "reference.md": reference_text(),
        folder / "docs" / "recipes.md": recipes_text(Path("config/recipes")),
    }
    for path, text in texts.items():
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
