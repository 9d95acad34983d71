"""All that a run works with, opened; what cannot be done is refused here, before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.axes import guess_axes
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.files.region import choose_region
from embedseg_napari.core.files.zarr_image import count_missing
from embedseg_napari.core.measure.table_files import require_table_name
from embedseg_napari.jobs.folder.earlier_run import signature
from embedseg_napari.jobs.large.cluster import require_distributed
from embedseg_napari.jobs.large.plan import DEFAULT_NAME, decided, image_of
from embedseg_napari.jobs.large.target import target_of
from embedseg_napari.jobs.segment import cached_model

if TYPE_CHECKING:
    from embedseg_napari.core.files.region import Region
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.large.plan import LargeJob
    from embedseg_napari.jobs.large.target import Target


@dataclass(frozen=True, slots=True)
class Opened:
    """All that a run works with."""

    image: LazyImage
    region: Region
    model: Model
    target: Target
    signature: str
    missing: tuple[int, int]
    """Files of pixels that are not on the disk, and of how many."""


def open_image_of(job: LargeJob) -> tuple[Target, LazyImage]:
    """Open the image of a job, and refuse what is seen without the model: that is quick.

    Raises
    ------
    EmbedSegError
        If something does not fit.
    """
    from embedseg_napari.core.stores.labels import require_name

    if job.part is not None and (job.workers > 1 or job.scheduler is not None or job.finish):
        raise SettingsError("A part is done by one worker, and finished by itself; give --part, --finish or --workers.")
    if job.overwrite and (job.part is not None or job.finish):
        raise SettingsError(
            "Parts go on with what others have done, so that none may start anew; choose another name or place for the "
            "labels, or delete the old ones first."
        )
    if job.workers < 1:
        raise SettingsError(f"workers {job.workers}: at least one is needed.")
    if job.workers > 1 or job.scheduler is not None:
        require_distributed()
    require_name(job.name)
    if job.output is not None and job.name != DEFAULT_NAME:
        raise SettingsError(
            f"Labels have a name in the image's own store only, and {job.output} is a new one; leave out --name, or "
            "--output."
        )
    image = image_of(job)
    if image.is_labels:
        raise DataError(f"{image.path}: is a label image; name the image that is to be segmented.")
    if isinstance(job.image, LazyImage) and (job.workers > 1 or job.scheduler is not None or job.part is not None):
        raise SettingsError("Several workers need the file of an image, not an array; give its path.")
    target = target_of(job, image)
    require_table_name(target.table)
    return target, image


def open_model_for(job: LargeJob, target: Target, image: LazyImage) -> Opened:
    """Open the model of a job, and refuse what cannot be done, before any work.

    Raises
    ------
    EmbedSegError
        If something does not fit, or labels are there that may not be replaced.
    """
    from embedseg_napari.core.inference.given_image import check_fit

    model = cached_model(job.model, job.device)
    axes = image.axes or guess_axes(image.shape, model.config.ndim, model.config.n_channels)
    region = choose_region(image, axes, job.channel, job.region)
    check_fit(model.config, (region.n_frames, region.n_channels, *region.shape), axes)
    missing = count_missing(image)
    sign = signature(model, *decided(job, region, model), missing)
    target.check(image.path, job.overwrite, sign)
    return Opened(image, region, model, target, sign, missing)
