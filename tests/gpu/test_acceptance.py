"""The acceptance on a GPU (acceptance.py), in toy shapes, so that it runs when there is a GPU for ten minutes."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ACCEPTANCE = Path(__file__).with_name("acceptance.py")


@pytest.mark.nightly
def test_every_part_finds_what_it_must(warm_python, tmp_path):
    environment = os.environ | {"OUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([warm_python, ACCEPTANCE, "--tiny"], env=environment, capture_output=True, text=True)
    findings = json.loads((tmp_path / "acceptance.json").read_text())
    assert [finding for finding in findings if finding["right"] is False] == [], done.stderr
    assert done.returncode == 0
    parts = {path.stem for path in ACCEPTANCE.parent.glob("parts/[a-z]*.py")}
    assert {finding["part"] for finding in findings} == parts
    judged = {finding["part"] for finding in findings if finding["right"]}
    assert judged == {"machine", "attention", "two_passes", "accumulation", "resume"}
    (ratio,) = [finding["value"] for finding in findings if finding["part"] == "ratio"]
    ours, theirs, quotient = map(float, ratio.split(", "))
    assert quotient > 0 and abs(quotient - ours / theirs) < 0.05 * quotient + 0.02
    table = done.stdout[done.stdout.rindex("\n\n") :]
    assert len(re.findall(r"^(?:ok|NOT OK|) +\w+ ", table, re.MULTILINE)) == len(findings)
