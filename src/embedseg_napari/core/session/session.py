"""A folder that holds the annotation of several images and all rounds of training, so that nothing is lost.

::

    session.json            images, rounds, which folder of annotations is the current one
    images/KEY.tif          images that were in memory only
    annotations/NNNN/       one KEY.npz per image: labels, regions, accepted ids
    rounds/NNN.embedseg     the model of a round
    rounds/NNN/             the annotations as they were then
    lock                    the process that has the session open

Files are written beside their place and moved there when they are complete and on the disk: whenever the process or the
machine dies, each is either the old one or the new one.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.annotation.states import AnnotationCounts, count_states, to_example
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.model.model_file import read_model_config, write_model_file
from embedseg_napari.core.session.export import write_dataset
from embedseg_napari.core.session.files import (
    Annotation,
    copy_folder,
    read_annotation,
    write_annotation,
    write_durably,
)
from embedseg_napari.core.session.folder import SessionFolder, list_sessions
from embedseg_napari.core.session.images import (
    copy_array,
    file_key,
    read_source,
    read_stored,
    remember_file,
    to_frame,
)
from embedseg_napari.core.session.state import Round, SessionImage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.model.model import Model

__all__ = ["Annotation", "AnnotationSession", "Round", "SessionImage", "list_sessions"]


class AnnotationSession(SessionFolder):
    """An open session; made by `create` or `open`, and a context manager that closes itself.

    All methods may be called from any thread; one waits for another. Arrays are read while a method runs: hand a
    snapshot to a method that runs in a thread.
    """

    @property
    def image_names(self) -> list[str]:
        """Names of the images, in the order they were added."""
        return [image.name for image in self._state.images]

    def image(self, name: str) -> SessionImage:
        """Return axes, shape, pixel size and source of an image.

        Raises
        ------
        DataError
            If there is no image of this name.
        """
        for image in self._state.images:
            if image.name == name:
                return image
        raise DataError(f"There is no image {name!r} in this session.")

    @property
    def rounds(self) -> list[Round]:
        """The rounds of training, oldest first."""
        return list(self._state.rounds)

    def add_image(
        self,
        name: str,
        image: np.ndarray | str | Path,
        axes: str | None = None,
        spacing: Sequence[float] | None = None,
        unit: str | None = None,
    ) -> None:
        """Add an image: a file is remembered by its path, an array is copied into the session folder.

        Parameters
        ----------
        name : str
            How it is called in this session.
        image : ndarray or path
            An array, or a TIFF file.
        axes : str, optional
            One letter per axis; default: the file's own, or guessed from the shape.
        spacing : sequence of float, optional
            Physical pixel size (z, y, x); default: the file's own.
        unit : str, optional
            Unit of the spacing.

        Raises
        ------
        DataError
            If the name is taken, or the image cannot be read, understood or stored.
        """
        with self._lock:
            self._check_open()
            if not name or name in self.image_names:
                raise DataError(f"An image of the name {name!r} cannot be added; give each image a name of its own.")
            key = file_key(len(self._state.images) + 1, name)
            if isinstance(image, (str, Path)):
                entry = remember_file(self._folder, Path(image), name, key, axes, spacing, unit)
            else:
                entry = copy_array(self._folder, np.asarray(image), name, key, axes, spacing, unit)
            self._update(images=(*self._state.images, entry))

    def locate_image(self, name: str, path: str | Path) -> None:
        """Say where the file of an image lies now.

        Raises
        ------
        DataError
            If the file has another shape or type, or there is no image of this name.
        """
        with self._lock:
            self._check_open()
            old = self.image(name)
            if old.source is None:
                raise DataError(f"The image {name} lies in the session folder; it has no file elsewhere.")
            new = remember_file(self._folder, Path(path), name, old.key, old.axes, old.spacing, old.unit)
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                raise DataError(
                    f"{path}: is another image than {name}: {new.dtype} of shape {new.shape} instead of {old.dtype} of "
                    f"shape {old.shape}."
                )
            self._update(images=tuple(new if image is old else image for image in self._state.images))

    def load_image(self, name: str) -> Picture:
        """Read an image, with axes, spacing and unit as they were given.

        Raises
        ------
        DataError
            If its file is missing or changed since it was added; or there is no image of this name.
        """
        with self._lock:
            image = self.image(name)
        return read_stored(self._folder, image) if image.source is None else read_source(self._folder, image)

    def save_annotation(
        self, name: str, labels: np.ndarray, regions: np.ndarray | None = None, accepted_ids: Collection[int] = ()
    ) -> None:
        """Keep the annotation of one image; when this returns, it is on the disk.

        Parameters
        ----------
        name : str
            The image.
        labels : ndarray of int, shape ((Z,) Y, X)
            See `states`.
        regions : ndarray of bool, shape ((Z,) Y, X), optional
            Fully annotated pixels.
        accepted_ids : collection of int
            Objects that are accepted and protected.

        Raises
        ------
        DataError
            If the arrays do not fit the image, or the folder cannot be written; what was saved before stays.
        """
        with self._lock:
            self._check_open()
            image = self.image(name)
            labels = np.asarray(labels)
            if labels.shape != image.spatial_shape:
                raise DataError(f"The labels of {name} have shape {labels.shape}, its pixels {image.spatial_shape}.")
            if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= 1 << 31:
                raise DataError(f"The labels of {name} must be whole numbers from 0 on, below 2147483648.")
            if regions is not None and regions.shape != labels.shape:
                raise DataError(f"The regions of {name} have shape {regions.shape}, its labels {labels.shape}.")
            accepted = frozenset(int(value) for value in accepted_ids)
            write_annotation(self._annotation_path(image), Annotation(labels, regions, accepted))

    def load_annotation(self, name: str) -> Annotation:
        """Read what was saved last; empty labels if nothing was.

        Raises
        ------
        DataError
            If it is damaged, or there is no image of this name.
        """
        with self._lock:
            image = self.image(name)
            return read_annotation(self._annotation_path(image), image.spatial_shape)

    def examples(self) -> list[Example]:
        """Return every image with an object or background in its annotation, for training.

        Raises
        ------
        DataError
            If an image or an annotation cannot be read.
        """
        found = []
        for name in self.image_names:
            annotation = self.load_annotation(name)
            if annotation.is_empty:
                continue
            picture = self.load_image(name)
            array = to_frame(picture)
            found.append(to_example(name, array, annotation.labels, annotation.regions, picture.spacing, picture.unit))
        return found

    def add_round(self, round_: Round, model: Model | str | Path) -> Round:
        """Add a round with its model and a copy of the annotations as saved now.

        Parameters
        ----------
        round_ : Round
            `number` and `model_file` are filled in; and where they are left empty, `counts` and the sums of it.
        model : Model or path
            The model, or its `.embedseg` file.

        Returns
        -------
        Round
            As it stands in `rounds`.

        Raises
        ------
        DataError, ModelError
            If something cannot be read or written; the session is then as before.
        """
        with self._lock:
            self._check_open()
            number = 1 + max((one.number for one in self._state.rounds), default=0)
            counts = round_.counts or self._counts()
            round_ = round_.model_copy(
                update={
                    "number": number,
                    "model_file": f"rounds/{number:03d}.embedseg",
                    "counts": counts,
                    "n_images": round_.n_images or len(counts),
                    "n_objects": round_.n_objects or sum(one.n_objects for one in counts.values()),
                    "n_pixels_labelled": round_.n_pixels_labelled or sum(c.labelled_pixels for c in counts.values()),
                }
            )
            if isinstance(model, (str, Path)):
                source = Path(model)
                read_model_config(source)
                write_durably(self._folder / round_.model_file, lambda target: shutil.copyfile(source, target))
            else:
                weights, config = model.network.state_dict(), model.config
                write_durably(
                    self._folder / round_.model_file, lambda target: write_model_file(target, weights, config)
                )
            copy_folder(self._folder / self._state.annotations, self._round_folder(number))
            self._update(rounds=(*self._state.rounds, round_))
            return round_

    def model_path(self, number: int) -> Path:
        """File of a round's model.

        Raises
        ------
        DataError
            If there is no such round, or its file is gone.
        """
        path = self._folder / self._round(number).model_file
        if not path.is_file():
            raise DataError(f"{path}: the model of round {number} is gone; train again.")
        return path

    def restore_round(self, number: int) -> None:
        """Set the annotations of all images back to those of a round; `undo_restore` brings back what was there.

        Rounds stay; images that were added since have no annotation then.

        Raises
        ------
        DataError
            If there is no such round, or something cannot be read or written; the session is then as before.
        """
        with self._lock:
            self._check_open()
            self._round(number)
            source = self._round_folder(number)
            if not source.is_dir():
                raise DataError(f"{source}: the annotations of round {number} are gone.")
            target = self._new_annotation_folder()
            copy_folder(source, self._folder / target)
            self._update(annotations=target, undo=(*self._state.undo, self._state.annotations))

    @property
    def can_undo_restore(self) -> bool:
        """Whether `undo_restore` has something to bring back."""
        return bool(self._state.undo)

    def undo_restore(self) -> None:
        """Bring back the annotations that the last `restore_round` replaced.

        Raises
        ------
        DataError
            If there are none.
        """
        with self._lock:
            self._check_open()
            if not self._state.undo:
                raise DataError("No round was restored that could be undone.")
            *undo, before = self._state.undo
            self._update(annotations=before, undo=tuple(undo))

    def export_dataset(self, folder: str | Path) -> int:
        """Write images/, masks/ and ignore/ as `embedseg train` reads them.

        Parameters
        ----------
        folder : path
            A new or empty folder; appears only when it is complete.

        Returns
        -------
        int
            Number of images: those with an object or background in their annotation.

        Raises
        ------
        DataError
            If the folder holds something, nothing is annotated, or an image cannot be read or written.
        """
        examples = self.examples()
        keys = [self.image(example.name).key for example in examples]
        write_dataset(Path(folder), examples, keys)
        return len(examples)

    def _annotation_path(self, image: SessionImage) -> Path:
        return self._folder / self._state.annotations / f"{image.key}.npz"

    def _round(self, number: int) -> Round:
        for one in self._state.rounds:
            if one.number == number:
                return one
        raise DataError(f"There is no round {number} in this session.")

    def _round_folder(self, number: int) -> Path:
        return self._folder / "rounds" / f"{number:03d}"

    def _new_annotation_folder(self) -> str:
        folder = self._folder / "annotations"
        numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
        known = [int(path.rpartition("/")[2]) for path in (self._state.annotations, *self._state.undo)]
        return f"annotations/{max(numbers + known) + 1:04d}"

    def _counts(self) -> dict[str, AnnotationCounts]:
        """Of the images that are annotated."""
        annotations = {name: self.load_annotation(name) for name in self.image_names}
        return {name: count_states(a.labels, a.regions) for name, a in annotations.items() if not a.is_empty}
