from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.folder_lock import acquire, holding, occupied, release

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_occupied_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with holding(folder, "training"):
        assert "already open in this program" in occupied(folder, "training")
        with (
            pytest.raises(DataError, match="this training is already open in this program"),
            holding(folder, "training"),
        ):
            pass
    assert not occupied(folder, "training")


def test_a_folder_that_stayed_empty_goes_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("new", "used", "mine"):
        with holding(tmp_path / name, "training"):
            if name == "used":
                (tmp_path / name / "state.json").write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "used"]


def test_without_a_folder_nothing_occupied() -> None:
    with holding(None, "training"):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be created"), holding(tmp_path / "file" / "run", "training"):
        pass


def test_a_lock_given_back_while_its_disk_was_away_holds_nothing(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "one", tmp_path / "elsewhere"
    folder.mkdir()
    holder = acquire(folder, "session")
    folder.rename(elsewhere)
    release(folder, holder)
    elsewhere.rename(folder)
    assert not occupied(folder, "session")
    release(folder, acquire(folder, "session"))
    assert not list(folder.iterdir())
