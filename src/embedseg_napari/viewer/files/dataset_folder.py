"""Open a data set: each image with its masks over it, masks as Labels, axes and pixel size from the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_info, show_warning

from embedseg_napari.core.data.pairs import find_dataset
from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.files.pairing import by_name, partners
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.files.zarr_image import has_labels, is_store
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.files.image_files import image_layer, labels_layer
from embedseg_napari.viewer.files.stores import open_store

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QPushButton, QWidget

MOST = 10
"""Images that are opened at once; a list of hundreds of layers serves nobody."""
BYTES = 2_000_000_000
"""Further images stay closed once those that are open take this much memory."""


def choose_dataset_folder() -> None:
    """Ask for a folder and open it in the current viewer; the command of the menu."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        ask_for_folder(viewer)


def open_folder_button(viewer: Viewer, parent: QWidget | None = None) -> QPushButton:
    """Return a button for panels that asks for a data-set folder and opens it."""
    from qtpy.QtWidgets import QPushButton

    button = QPushButton("Open data-set folder…", parent)
    button.setObjectName("open_dataset_folder")
    button.setToolTip(
        "Open a folder with images/ and masks/ (or train/ and val/ of that kind), or an OME-Zarr, as layers."
    )
    button.clicked.connect(lambda: ask_for_folder(viewer, button))
    return button


def ask_for_folder(viewer: Viewer, parent: QWidget | None = None) -> list[Layer]:
    """Ask for a folder and open it; a fault becomes a notification."""
    from qtpy.QtWidgets import QFileDialog

    folder = QFileDialog.getExistingDirectory(parent, "A folder with images/ and masks/, or an OME-Zarr")
    if not folder:
        return []
    try:
        return open_dataset_folder(viewer, folder)
    except EmbedSegError as error:
        show_error(str(error))
        return []


def open_dataset_folder(viewer: Viewer, folder: str | Path, most: int = MOST) -> list[Layer]:
    """Open images and masks of a data-set folder; only the first pair is shown, the others wait in the list.

    Parameters
    ----------
    viewer : Viewer
        Where.
    folder : path
        With ``images/`` and ``masks/``, or with ``train/`` (and ``val/``) of that kind. Images without a mask are
        opened too: masks may be painted in napari. Or an OME-Zarr, which is opened with the labels in it.
    most : int
        Images to open.

    Returns
    -------
    list of Layer
        The new layers: for every image its own, followed by that of its masks if there are any.

    Raises
    ------
    DataError
        If it is no such folder, holds no images, or a file cannot be read; layers opened before stay.
    """
    if is_store(Path(folder)):
        return open_store(viewer, Path(folder))
    training, validation = find_dataset(folder)
    pairs = _pairs(training) + ([] if validation is None else _pairs(validation))
    if not pairs:
        raise DataError(
            f"{training / 'images'}: holds no images that can be read; save them as .tif, for example with Fiji."
        )
    layers: list[Layer] = []
    in_memory, opened = 0, 0
    for image_path, mask_path in pairs[:most]:
        picture = read_image(image_path)
        new = [image_layer(picture, image_path.stem)]
        in_memory += picture.array.nbytes
        if mask_path is not None:
            new.append(labels_layer(read_image(mask_path, labels=True), f"{image_path.stem} masks", picture))
        for array, options, kind in new:
            add = viewer.add_labels if kind == "labels" else viewer.add_image
            layers.append(add(array, visible=not opened, **options))
        opened += 1
        if in_memory > BYTES:
            break
    without = sum(mask is None for _, mask in pairs[:opened])
    if opened < len(pairs):
        show_info(f"The first {opened} of {len(pairs)} images are open.")
    if any((part / "ignore").is_dir() for part in (training, validation) if part is not None):
        show_warning(
            f"In {Path(folder).name} not all of each image is annotated (ignore/), which layers do not know: to learn "
            "from it, choose the folder in Train under A folder; embedseg evaluate takes it, too."
        )
    if without:
        show_info(f"{count(without, 'image')} without a mask.")
    return layers


def _pairs(folder: Path) -> list[tuple[Path, Path | None]]:
    images = by_name(list_images(folder / "images"))
    masks = by_name(list_images(folder / "masks")) if (folder / "masks").is_dir() else {}
    mask_of = {name: path for name, path in images.items() if has_labels(path)} | partners(images, masks)
    return [(path, mask_of.get(name)) for name, path in images.items()]
