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

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from embedseg_napari.core.annotation.session_state import Round

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from embedseg_napari.core.data.images import Picture
    from embedseg_napari.core.data.pairs import Example
    from embedseg_napari.core.model.model import Model

__all__ = ["Annotation", "AnnotationSession", "Round", "list_sessions"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a session holds for one image."""

    labels: np.ndarray
    """int32 ((Z,) Y, X), see `states`."""
    regions: np.ndarray | None
    """bool ((Z,) Y, X), fully annotated; None if nothing is."""
    accepted_ids: frozenset[int]
    """Objects that are accepted and protected."""


class AnnotationSession:
    """An open session; made by `create` or `open`, and a context manager that closes itself.

    All methods may be called from any thread; one waits for another. Arrays are read while a method runs: hand a
    snapshot to a method that runs in a thread.
    """

    @classmethod
    def create(cls, folder: str | Path) -> Self:
        """Start a session in a new or empty folder.

        Raises
        ------
        DataError
            If the folder holds something already, or cannot be written.
        """
        raise NotImplementedError

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a session where it was left, however it ended.

        Raises
        ------
        DataError
            If there is none, it is damaged or of an unknown version, or another process has it open.
        """
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """The session folder."""
        raise NotImplementedError

    @property
    def image_names(self) -> list[str]:
        """Names of the images, in the order they were added."""
        raise NotImplementedError

    @property
    def rounds(self) -> list[Round]:
        """The rounds of training, oldest first."""
        raise NotImplementedError

    def close(self) -> None:
        """Let others open the session; may be called twice."""
        raise NotImplementedError

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
        raise NotImplementedError

    def locate_image(self, name: str, path: str | Path) -> None:
        """Say where the file of an image lies now.

        Raises
        ------
        DataError
            If the file has another shape or type, or there is no image of this name.
        """
        raise NotImplementedError

    def load_image(self, name: str) -> Picture:
        """Read an image, with axes, spacing and unit as they were given.

        Raises
        ------
        DataError
            If its file is missing or changed since it was added; or there is no image of this name.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def load_annotation(self, name: str) -> Annotation:
        """Read what was saved last; empty labels if nothing was.

        Raises
        ------
        DataError
            If it is damaged, or there is no image of this name.
        """
        raise NotImplementedError

    def examples(self) -> list[Example]:
        """Return every image with an object or background in its annotation, for training.

        Raises
        ------
        DataError
            If an image or an annotation cannot be read.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def model_path(self, number: int) -> Path:
        """File of a round's model.

        Raises
        ------
        DataError
            If there is no such round, or its file is gone.
        """
        raise NotImplementedError

    def restore_round(self, number: int) -> None:
        """Set the annotations of all images back to those of a round; `undo_restore` brings back what was there.

        Rounds stay; images that were added since have no annotation then.

        Raises
        ------
        DataError
            If there is no such round, or something cannot be read or written; the session is then as before.
        """
        raise NotImplementedError

    @property
    def can_undo_restore(self) -> bool:
        """Whether `undo_restore` has something to bring back."""
        raise NotImplementedError

    def undo_restore(self) -> None:
        """Bring back the annotations that the last `restore_round` replaced.

        Raises
        ------
        DataError
            If there are none.
        """
        raise NotImplementedError

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
        raise NotImplementedError


def list_sessions(folder: str | Path) -> list[Path]:
    """Return the session folders inside a folder, the one saved last first; none if there is no such folder."""
    raise NotImplementedError
