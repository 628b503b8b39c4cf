"""What the tests of losses share."""

import pytest

from ascent.losses import ring


@pytest.fixture(params=[4096, 4], ids=["one tile", "tiles of 4"])
def tiles(request, monkeypatch):
    """Every property holds whether the scores are computed at once or in tiles, the last of them smaller."""
    monkeypatch.setattr(ring, "TILE", request.param)
