"""A part of a large image, segmented as its blocks would be, with maps by which thresholds can be tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import guess_axes
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import ClusteringStarted, Message
from embedseg_napari.core.files.region import choose_region
from embedseg_napari.jobs.large.plan import image_of, network_pass, settings_for
from embedseg_napari.jobs.segment import interruptible, loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.jobs.large.plan import LargeJob


def segment_part(
    job: LargeJob, start: tuple[int, ...], stop: tuple[int, ...], frame: int, should_stop: Callable[[], bool]
) -> Generator[Any, None, Segmentation]:
    """Segment a part of a large image: brightness is that of the whole, and the network sees what lies around.

    Nothing is written.

    Parameters
    ----------
    job : LargeJob
        Image, model and settings; where its labels go does not matter.
    start, stop : tuple of int
        First pixel of the part, a multiple of 8, and one past the last, per spatial axis (z, y, x).
    frame : int
        Time point, 0 in an image without.
    should_stop : callable
        Looked at between layers of the network and while objects are collected.

    Raises
    ------
    EmbedSegError
        As a run over the whole image; `Stopped` where `should_stop` returned True.
    """
    from embedseg_napari.core.inference.given_image import check_fit
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.large.grid import Box
    from embedseg_napari.core.large.run_folder import FrameScale
    from embedseg_napari.core.large.segment_block import scaled
    from embedseg_napari.core.large.whole_image import measure_whole

    model = yield from loaded(job.model, job.device, should_stop)
    image = image_of(job)
    axes = image.axes or guess_axes(image.shape, model.config.ndim, model.config.n_channels)
    region = choose_region(image, axes, job.channel)
    check_fit(model.config, (region.n_frames, region.n_channels, *region.shape), axes)
    settings = settings_for(job, model)
    whole, words = measure_whole(lambda box: region.read(frame, box), region.shape, model.config.normalization)
    yield Message(words)
    if should_stop():
        raise Stopped("The prediction was stopped.")
    plan = network_pass(job, region, model, settings, FrameScale.of(whole))
    window = Box(start, stop)
    with interruptible(model, should_stop):
        values = scaled(region.read(frame, plan.seen(window)), whole, model.config.normalization)
        maps = plan.run(values, window, should_stop)
        yield ClusteringStarted(0)
        return Segmentation.collect(maps, settings, should_stop)
