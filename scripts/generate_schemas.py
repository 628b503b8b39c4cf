"""Write the schemas and the tables of config/README.md from the settings' models."""

import argparse
from pathlib import Path

from ascent.errors import reports_errors
from ascent.files import write_atomically
from ascent.recipes.schemas import config_schema, readme_text, recipe_schema, schema_text


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("config"), help="folder of README.md and schemas/")
    folder = parser.parse_args().folder
    texts = {
        folder / "schemas" / "config.schema.yaml": schema_text(config_schema()),
        folder / "schemas" / "recipe.schema.yaml": schema_text(recipe_schema()),
        folder / "README.md": readme_text((folder / "README.md").read_text(encoding="utf-8")),
    }
    for path, text in texts.items():
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
