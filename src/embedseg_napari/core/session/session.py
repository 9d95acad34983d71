"""A folder that holds the annotation of several images and all rounds of training, so that nothing is lost.

::

    session.json            images, rounds, which folder of annotations is the current one
    images/KEY.tif          images that were in memory only
    annotations/NNNN/       one KEY.npz per image: labels, regions, those from before the whole image, accepted ids
    rounds/NNN.embedseg     the model of a round
    rounds/NNN/             the annotations as they were then
    lock                    the process that has the session open

Files are written beside their place and moved there when they are complete and on the disk: whenever the process or the
machine dies, each is either the old one or the new one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedseg_napari.core.annotation.annotation import Annotation, next_revision
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.model.model_file import read_model_config
from embedseg_napari.core.session.export import write_dataset
from embedseg_napari.core.session.files import copy_folder, read_annotation, write_annotation
from embedseg_napari.core.session.folder import SessionFolder
from embedseg_napari.core.session.images import add_picture, file_key, read_picture, to_frame
from embedseg_napari.core.wording import readable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import numpy as np

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.core.session.state import Comparison, Round, SessionImage


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image under its name in a session, with its annotation at one moment."""

    name: str
    picture: Picture
    annotation: Annotation

    def example(self, frame: np.ndarray | None = None) -> Example:
        """What training learns from; `frame` are the pixels C(Z)YX where they were made before."""
        pixels = to_frame(self.picture) if frame is None else frame
        return self.annotation.example(self.name, pixels, self.picture.spacing, self.picture.unit)


class AnnotationSession(SessionFolder):
    """An open session, new in an empty folder or made by `open`; a context manager that closes itself.

    All methods may be called from any thread; one waits for another.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._revisions: dict[str, int] = {}
        """By image: revision of the annotation that is on the disk, once it was written or read."""

    @property
    def images(self) -> tuple[SessionImage, ...]:
        """Images in the order they were added."""
        return self._state.images

    @property
    def image_names(self) -> list[str]:
        """Names of the images, in the order they were added."""
        return [image.name for image in self.images]

    def image(self, name: str) -> SessionImage:
        """Return axes, shape, pixel size and source of an image.

        Raises
        ------
        DataError
            If there is no image of this name.
        """
        for image in self.images:
            if image.name == name:
                return image
        raise DataError(f"There is no image {name!r} in this session.")

    @property
    def kind(self) -> tuple[int, int] | None:
        """Spatial dimensions and channels of its images; None before there is one."""
        return self.images[0].kind if self.images else None

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds of training, oldest first."""
        return self._state.rounds

    def add_image(self, name: str, picture: Picture) -> None:
        """Add an image: if its file holds the same pixels it is remembered by its path, else copied into the folder.

        Parameters
        ----------
        name : str
            How it is called in this session.
        picture : Picture
            One image without time points.

        Raises
        ------
        DataError
            If the name is taken, or the image cannot be read, understood or stored.
        """
        with self._lock:
            self.begin()
            if not name or readable(name) != name or name in self.image_names:
                raise DataError(f"An image named {name!r} cannot be added; give each image a name of its own.")
            entry = add_picture(self.folder, picture, name, file_key(len(self.images) + 1, name))
            self._update(images=(*self.images, entry))

    def load_image(self, name: str) -> Picture:
        """Read an image, with axes, spacing and unit as they were given.

        Raises
        ------
        DataError
            If its file is missing, or there is no image of this name; an `ImageChanged` if it was changed since it was
            added.
        """
        return read_picture(self.folder, self.image(name))

    def save_annotation(self, name: str, annotation: Annotation, picture: Picture | None = None) -> bool:
        """Keep the annotation of one image, unless a newer one is kept; when this returns, it is on the disk.

        Parameters
        ----------
        name : str
            The image.
        annotation : Annotation
            An older revision than the one that is on the disk is passed over.
        picture : Picture, optional
            The image itself, which joins the session if it is not in it yet; else it may tell a pixel size that was
            not known.

        Returns
        -------
        bool
            Whether it is this annotation that is on the disk now.

        Raises
        ------
        DataError
            If it does not fit the image, the folder cannot be written or the session was closed; what was saved before
            stays.
        """
        with self._lock:
            if picture is not None and picture.spacing is not None and name in self.image_names:
                self._note_pixels(self.image(name), picture)
            on_disk = self._revisions.get(name, 0)
            if annotation.revision <= on_disk:
                return annotation.revision == on_disk
            self.begin()
            if picture is not None and name not in self.image_names:
                self.add_image(name, picture)
            image, labels = self.image(name), annotation.labels
            if labels.shape != image.spatial_shape:
                raise DataError(f"The labels of {name} have shape {labels.shape}, its pixels {image.spatial_shape}.")
            if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= 1 << 31:
                raise DataError(f"The labels of {name} must be whole numbers from 0 on, below 2147483648.")
            write_annotation(self._annotation_path(image), annotation)
            self._revisions[name] = annotation.revision
            return True

    def _note_pixels(self, image: SessionImage, picture: Picture) -> None:
        if image.spacing is None:
            self.begin()
            told = image.model_copy(update={"spacing": tuple(map(float, picture.spacing or ())), "unit": picture.unit})
            self._update(images=tuple(told if one is image else one for one in self.images))

    def load_annotation(self, name: str) -> Annotation:
        """Read what was saved last, in the revision it was saved in; empty labels if nothing was.

        Raises
        ------
        DataError
            If it is damaged, the folder is gone, or there is no image of this name.
        """
        with self._lock:
            image = self.image(name)
            self._require_there()
            found = read_annotation(self._annotation_path(image), image.spatial_shape)
            return replace(found, revision=self._revisions.setdefault(name, found.revision))

    def annotated_images(self, open_pictures: Mapping[str, Picture]) -> tuple[list[AnnotatedImage], list[str]]:
        """Read every annotated image, for a training or an export.

        Parameters
        ----------
        open_pictures : mapping
            Images that need not be read from the disk, by their names.

        Returns
        -------
        images : list of AnnotatedImage
        faults : list of str
            Why the others, which cannot be read or whose annotation cannot, are left out; each said once.
        """
        found, faults = [], []
        for name in self.image_names:
            try:
                annotation = self.load_annotation(name)
                if not annotation.is_empty:
                    picture = open_pictures.get(name) or self.load_image(name)
                    found.append(AnnotatedImage(name, picture, annotation))
            except DataError as error:
                faults.append(str(error))
        return found, list(dict.fromkeys(faults))

    def add_round(self, round_: Round, model: Path, learned: Collection[AnnotatedImage]) -> Round:
        """Add a round with its model and the annotations it learned from; what was painted since stays the current one.

        Parameters
        ----------
        round_ : Round
            Its number, file, counts and their sums are filled in.
        model : Path
            The `.embedseg` file of the model.
        learned : collection of AnnotatedImage
            Images that are not in the session yet join it.

        Returns
        -------
        Round
            As it stands in `rounds`.

        Raises
        ------
        DataError, ModelError
            If something cannot be read or written; the session is then without the round.
        """
        with self._lock:
            self.begin()
            read_model_config(model)
            number = 1 + max((one.number for one in self.rounds), default=0)
            counts = {one.name: one.annotation.counts() for one in learned}
            round_ = round_.model_copy(
                update={
                    "number": number,
                    "model_file": f"rounds/{number:03d}.embedseg",
                    "counts": counts,
                    "n_images": len(counts),
                    "n_objects": sum(one.n_objects for one in counts.values()),
                    "n_pixels_labelled": sum(one.labelled_pixels for one in counts.values()),
                }
            )
            for one in learned:
                if one.name not in self.image_names:
                    self.save_annotation(one.name, one.annotation, one.picture)
            write_atomically(self.folder / round_.model_file, lambda target: shutil.copyfile(model, target))
            copy_folder(self.folder / self._state.annotations, self._round_folder(number))
            for one in learned:
                if self._revisions.get(one.name) != one.annotation.revision:
                    write_annotation(self._round_folder(number) / f"{self.image(one.name).key}.npz", one.annotation)
            self._update(rounds=(*self.rounds, round_))
            return round_

    def compare_round(self, number: int, comparison: Comparison) -> None:
        """Keep how a round's model compares with the one it started from.

        Raises
        ------
        DataError
            If there is no such round, or it cannot be written.
        """
        with self._lock:
            self.model_path(number)
            self.begin()
            rounds = [
                one.model_copy(update={"comparison": comparison}) if one.number == number else one
                for one in self.rounds
            ]
            self._update(rounds=tuple(rounds))

    def model_path(self, number: int) -> Path:
        """File of a round's model.

        Raises
        ------
        DataError
            If there is no such round, or its file is gone.
        """
        for one in self.rounds:
            if one.number == number:
                path = self.folder / one.model_file
                if path.is_file():
                    return path
                self._require_there()
                raise DataError(f"{path}: the model of round {number} is gone; train again.")
        raise DataError(f"There is no round {number} in this session.")

    def latest_model(self) -> Path | None:
        """File of the last round's model; None before there is a round.

        Raises
        ------
        DataError
            If it is gone.
        """
        return self.model_path(self.rounds[-1].number) if self.rounds else None

    def restore_round(self, number: int) -> Path:
        """Set the annotations of all images back to those of a round; `undo_restore` brings back what was there.

        Rounds stay; images that were added since have no annotation then.

        Returns
        -------
        Path
            The round's model.

        Raises
        ------
        DataError
            If there is no such round, or something cannot be read or written; the session is then as before.
        """
        with self._lock:
            model, source = self.model_path(number), self._round_folder(number)
            if not source.is_dir():
                raise DataError(f"{source}: the annotations of round {number} are gone.")
            self.begin()
            target = self._new_annotation_folder()
            copy_folder(source, self.folder / target)
            self._use_annotations(target, (*self._state.undo, self._state.annotations))
            return model

    @property
    def can_undo_restore(self) -> bool:
        """Whether `undo_restore` has something to bring back."""
        return bool(self._state.undo)

    def undo_restore(self) -> None:
        """Bring back the annotations that the last `restore_round` replaced; what was painted since is dropped.

        Raises
        ------
        DataError
            If there are none.
        """
        with self._lock:
            if not self._state.undo:
                raise DataError("There is no restored round to undo.")
            self.begin()
            *undo, before = self._state.undo
            self._use_annotations(before, tuple(undo))

    def export_dataset(self, folder: Path, open_pictures: Mapping[str, Picture]) -> int:
        """Write images/, masks/ and ignore/ as `embedseg train` reads them.

        Parameters
        ----------
        folder : path
            A new or empty folder; appears only when it is complete.
        open_pictures : mapping
            Images that need not be read from the disk, by their names.

        Returns
        -------
        int
            Number of images: those with an object or background in their annotation.

        Raises
        ------
        DataError
            If the folder holds something, nothing is annotated, or an image cannot be read or written.
        """
        images, faults = self.annotated_images(open_pictures)
        if faults:
            raise DataError(faults[0])
        write_dataset(folder, [one.example() for one in images], [self.image(one.name) for one in images])
        return len(images)

    def _use_annotations(self, folder: str, undo: tuple[str, ...]) -> None:
        """Make other annotations the current ones; what a thread is about to write belongs to the time before."""
        self._update(annotations=folder, undo=undo)
        for name in self.image_names:
            self._revisions[name] = next_revision()

    def _annotation_path(self, image: SessionImage) -> Path:
        return self.folder / self._state.annotations / f"{image.key}.npz"

    def _round_folder(self, number: int) -> Path:
        return self.folder / "rounds" / f"{number:03d}"

    def _new_annotation_folder(self) -> str:
        folder = self.folder / "annotations"
        numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
        known = [int(path.rpartition("/")[2]) for path in (self._state.annotations, *self._state.undo)]
        return f"annotations/{max(numbers + known) + 1:04d}"
