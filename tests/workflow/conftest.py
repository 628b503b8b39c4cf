"""What the tests of the whole Snakefile share."""

import pytest

from support.small_recipe import make_workspace


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("small"))
