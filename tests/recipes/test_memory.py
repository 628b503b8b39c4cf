import pytest

from ascent.recipes.memory import memory_mb


def test_a_job_asks_for_as_much_as_its_models_need(tmp_path):
    """Qwen3-8B in float32, as training writes it: 30 GB and more, which the least request does not hold."""
    for name, parts in (("small", [90e6]), ("large", [16e9, 16.8e9])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        for number, size in enumerate(parts):
            with (tmp_path / name / f"model-{number}.safetensors").open("wb") as file:
                file.truncate(int(size))  # takes no room on the disk
    small, large = str(tmp_path / "small"), str(tmp_path / "large")
    assert memory_mb([small], first=32_000, copies=2) == 32_000
    assert memory_mb([large], first=32_000, copies=2) == 8_000 + 65_600
    assert memory_mb([large, large], first=32_000, copies=2) == 8_000 + 131_200


def test_a_model_that_is_not_made_yet_is_asked_for_later(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        memory_mb([str(tmp_path / "model")], first=1, copies=1)
    assert error.value.filename == str(tmp_path / "model")  # by which Snakemake knows that it is an input
