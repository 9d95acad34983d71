"""A store that is segmented once for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from big_steps import in_one_go, small_blocks, write_cells

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def segmented_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with the labels `embedseg`; copy it."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        path = write_cells(tmp_path_factory.mktemp("segmented"))
        in_one_go(path, name="embedseg")
    return path
