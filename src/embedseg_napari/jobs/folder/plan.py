"""Which images are segmented, how, and where their results go: decided before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from embedseg_napari.core.axes import parse_axes
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.files.atomic import locked_place
from embedseg_napari.core.files.formats import left_out
from embedseg_napari.core.files.names import identity
from embedseg_napari.core.files.picture import require_file
from embedseg_napari.core.files.tiff import list_images
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.model.known_models import bundled_names, bundled_path
from embedseg_napari.jobs.folder.earlier_run import is_made_here
from embedseg_napari.jobs.folder.joint_table import find_table, is_own_table
from embedseg_napari.jobs.folder.map_file import FOLDER as MAPS
from embedseg_napari.jobs.recipe import predict_words, recipe_of

if TYPE_CHECKING:
    from embedseg_napari.core.axes import Channel


@dataclass(frozen=True, slots=True)
class FolderJob:
    """Which images to segment, how, and where the results go."""

    inputs: tuple[Path, ...]
    """Image files, folders of them, or folders with `images/`."""
    results: Path
    model: str | Path
    device: str
    changes: dict[str, Any]
    """Settings that replace those stored with the model."""
    overwrite: bool = False
    resume: bool = False
    """Whether to go on where an earlier run with the same model and settings was stopped or killed."""
    tables: Literal["", "each", "together"] = ""
    """None, one `NAME.csv` per image, or `objects.csv` of all, which keeps the rows of others."""
    axes: str | None = None
    channel: Channel = "all"
    spacing: tuple[float, ...] | None = None
    """Pixel size (z, y, x) in place of what the files say."""
    save_maps: bool = False
    """Whether seed map, offsets and margins of each image are written, too."""
    planes: bool = False
    """Whether a plane for each object is written in place of a label image: where two cross, both have the pixels."""
    report: bool | None = None
    """Whether a page with an overview is written; if not said, of two images or more."""


@dataclass(frozen=True, slots=True)
class Output:
    """An image, and where its results go."""

    image: Path
    labels: Path
    """Or planes."""

    @property
    def table(self) -> Path:
        """The table of its objects alone."""
        return self.labels.with_suffix(".csv")

    @property
    def recipe(self) -> Path:
        """How its labels were made."""
        return recipe_of(self.labels)

    @property
    def maps(self) -> Path:
        """Its seed map, offsets and margins."""
        return self.labels.parent / MAPS / self.labels.name


def plan(job: FolderJob) -> list[Output]:
    """Decide which file becomes which, and refuse what would lose data, before any work.

    Raises
    ------
    EmbedSegError
        If an input is missing or holds no image, two have one name, results cannot be written or would replace a file
        unasked, or a setting does not fit.
    """
    PredictionConfig().changed(job.changes)
    if job.resume and job.overwrite:
        raise SettingsError("An earlier run cannot be continued while its files are replaced; choose one of the two.")
    if job.axes is not None:
        parse_axes(job.axes)
    if job.results.exists() and not job.results.is_dir():
        raise DataError(f"{job.results}: is a file; choose a folder for the results.")
    locked = locked_place(job.results / MAPS if job.save_maps else job.results)
    if locked is not None:
        raise DataError(f"{locked}: nothing can be written there; choose another folder for the results.")
    images = [image for path in job.inputs for image in images_of(path)]
    outputs = [Output(image, job.results / f"{image.stem}.tif") for image in images]
    seen: dict[Path, Path] = {}
    sources = {identity(image) for image in images} - {None}
    for output in outputs:
        if output.labels in seen:
            raise DataError(
                f"{seen[output.labels]} and {output.image} would both become {output.labels}; "
                "give one of them another name, or segment them into different folders."
            )
        replaced = ((output.labels, "labels"), (output.maps, "maps"))[: 1 + job.save_maps]
        for target, what in replaced:
            if identity(target) in sources:
                raise DataError(
                    f"{target} is an input image and would be replaced by {what}; "
                    "choose another folder for the results."
                )
        seen[output.labels] = output.image
    targets = [target for output in outputs for target in (output.labels, output.recipe)]
    # What tells of labels goes with them, also if it is not asked for again.
    targets += [output.maps for output in outputs if job.save_maps or is_made_here(output.maps)]
    targets += [output.table for output in outputs if job.tables == "each" or is_own_table(output.table)]
    joint, listed = find_table(job.results)
    targets += [joint] if not (listed or {}).keys().isdisjoint(output.labels.stem for output in outputs) else []
    existing = [target for target in dict.fromkeys(targets) if target.exists()]
    if existing and not (job.overwrite or job.resume):
        names = existing[1].name if len(existing) == 2 else f"{len(existing) - 1} more"
        more = f" (and {names})" if len(existing) > 1 else ""
        raise DataError(
            f"{existing[0]}{more} exists already; continue an earlier run (--resume), replace existing files "
            "(--overwrite), or choose another folder."
        )
    return outputs


def words_of(job: FolderJob) -> list[str]:
    """The words of the command that does a job."""
    bundled = {path: path.stem for path in map(bundled_path, bundled_names())}
    model = bundled.get(Path(job.model), str(job.model))
    return predict_words(
        model,
        job.inputs,
        job.results,
        axes=job.axes,
        channel=job.channel,
        spacing=job.spacing,
        device=job.device,
        changes=job.changes,
        tables=job.tables == "each",
        save_maps=job.save_maps,
        planes=job.planes,
        report=job.report,
    )


def images_of(path: Path) -> list[Path]:
    """An image itself, or the images of a folder.

    Raises
    ------
    DataError
        If there is no such file or folder, or no image in it that can be read.
    """
    if is_store(path):
        return [path]
    if not path.is_dir():
        require_file(path)
        return [path]
    folder = folder_of_images(path)
    images = list_images(folder)
    if not images:
        unread = left_out(folder)
        example = next((f"; {file.name}: {fault}" for file, fault in unread.items()), "")
        raise DataError(f"{path}: this folder holds no images that can be read{example}.")
    return images


def folder_of_images(path: Path) -> Path:
    """A folder of images, or its `images/` if it holds none itself."""
    return path / "images" if not list_images(path) and (path / "images").is_dir() else path
