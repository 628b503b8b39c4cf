"""Make a model folder, with its prompt contract, of a model as it was retrieved."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from ascent.errors import reports_errors, warn
from ascent.files import copy_folder, folder_atomically
from ascent.model.adoption.own_contract import told
from ascent.model.backbone import load_backbone
from ascent.model.contract import weights_digest
from ascent.model.prompt_checks import long_task_prompts, refuse_prompts
from ascent.model.saving import save_new
from ascent.model.soft_tokens import add_soft_tokens
from ascent.settings.model import Adoption, Contract
from ascent.settings.validation import load


@reports_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="contract and soft tokens, YAML")
    parser.add_argument("--resource", type=Path, required=True, help="folder with the retrieved model")
    parser.add_argument("--output", type=Path, required=True, help="model folder to make")
    arguments = parser.parse_args()
    adoption = load(Adoption, arguments.settings)
    contract = Contract(**adoption.model_dump(include=set(Contract.model_fields)))
    backbone, tokenizer = load_backbone(arguments.resource, contract)  # refuses what training could not use
    for difference in told(arguments.resource, adoption, tokenizer.backend_tokenizer):
        print(f"warning: {difference}")
    if adoption.soft_tokens:
        add_soft_tokens(backbone, tokenizer, adoption.soft_tokens)
    refuse_prompts(contract, tokenizer.backend_tokenizer, arguments.resource)
    for sentence in long_task_prompts(contract, tokenizer.backend_tokenizer, arguments.resource):
        warn(sentence)
    history = {"retrieved": weights_digest(arguments.resource)}
    with folder_atomically(arguments.output) as folder, TemporaryDirectory(dir=folder.parent) as extended:
        resource = arguments.resource
        if adoption.soft_tokens:
            resource = Path(extended)
            copy_folder(arguments.resource, resource)  # for its heads
            for weights in resource.glob("*.safetensors*"):
                weights.unlink()
            backbone.save_pretrained(resource)
            tokenizer.save_pretrained(resource)
        save_new(resource, contract, history, folder)


if __name__ == "__main__":
    raise SystemExit(main())
