"""Files that belong together by their names."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.pairing import by_name, image_name, partners, without_partner


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.tif", "a"),
        ("a.TIF", "a"),
        ("a.ome.tif", "a"),
        ("a.OME.Tiff", "a"),
        ("cell.1.tif", "cell.1"),
        ("a.png", "a"),
        (unicodedata.normalize("NFD", "Präparat.tif"), "Präparat"),
    ],
)
def test_names_without_ending(file: str, name: str) -> None:
    assert image_name(Path(file)) == name


def paired(images: list[str], masks: list[str]) -> dict[str, str]:
    found = partners(by_name(map(Path, images)), by_name(map(Path, masks)))
    return {name: path.name for name, path in found.items()}


def test_partners_by_name_else_by_name_without_capitals() -> None:
    assert paired(["a.tif", "B.TIF"], ["b.tiff", "a.ome.tif"]) == {"a": "a.ome.tif", "B": "b.tiff"}
    # Two images may differ by capitals alone: then each has its own mask, or none.
    assert paired(["a.tif", "A.tif"], ["A.tif", "a.tif"]) == {"a": "a.tif", "A": "A.tif"}
    assert paired(["a.tif", "A.tif"], ["a.tif"]) == {"a": "a.tif"}
    assert paired(["IMG.tif"], ["img.tif", "Img.tif"]) == {}
    composed, decomposed = (unicodedata.normalize(form, "É.tif") for form in ("NFC", "NFD"))
    assert paired([composed], [decomposed]) == {"É": decomposed}
    assert paired([composed.lower()], [decomposed]) == {"é": decomposed}


def test_files_without_partner() -> None:
    masks = by_name(map(Path, ["a.tif", "c.tif"]))
    assert list(without_partner(partners(["A", "b"], masks), masks)) == ["c"]


@pytest.mark.parametrize("second", ["a.tiff", "a.ome.tif", "a.TIF", "a.png"])
def test_two_files_of_one_name(second: str) -> None:
    with pytest.raises(DataError, match=r"same name as a\.tif"):
        by_name([Path("a.tif"), Path(second)])
