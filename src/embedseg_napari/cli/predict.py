"""``embedseg predict``: from images to label images, one file each."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated

import typer

from embedseg_napari.cli.console import complain, say
from embedseg_napari.cli.failures import StopRequest
from embedseg_napari.cli.options import (
    Axes,
    Channel,
    Device,
    ModelSource,
    NoProgress,
    Spacing,
    parse_spacing,
    parse_tile,
    parse_tile_overlap,
    setting,
)
from embedseg_napari.cli.predict_large import (
    AllBlocks,
    BlockOption,
    DryRunOption,
    Finish,
    HaloOption,
    LabelsName,
    Level,
    Part,
    RegionOption,
    Scheduler,
    TableOption,
    Workers,
    segment_in_blocks,
)
from embedseg_napari.cli.progress import PredictionProgress
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.runs import drain
from embedseg_napari.core.wording import count

STORED = "that of the model"


def predict(
    model: ModelSource,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Images, folders of images, or one OME-Zarr.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the label images. Of an OME-Zarr a new .zarr; without, labels become part of it.",
        ),
    ] = None,
    tta: Annotated[bool | None, setting(PredictionConfig, "tta", "--tta/--no-tta", default=STORED)] = None,
    seed_threshold: Annotated[float | None, setting(PredictionConfig, "seed_threshold", default=STORED)] = None,
    foreground_threshold: Annotated[
        float | None, setting(PredictionConfig, "foreground_threshold", default=STORED)
    ] = None,
    faint_seeds: Annotated[float | None, setting(PredictionConfig, "faint_seeds", default=STORED)] = None,
    margin_scale: Annotated[float | None, setting(PredictionConfig, "margin_scale", default=STORED)] = None,
    min_object_size: Annotated[int | None, setting(PredictionConfig, "min_object_size", default=STORED)] = None,
    max_object_size: Annotated[int | None, setting(PredictionConfig, "max_object_size", default=STORED)] = None,
    drop_border_objects: Annotated[
        bool | None,
        setting(PredictionConfig, "drop_border_objects", "--drop-border-objects/--keep-border-objects", default=STORED),
    ] = None,
    fill_holes: Annotated[
        bool | None, setting(PredictionConfig, "fill_holes", "--fill-holes/--no-fill-holes", default=STORED)
    ] = None,
    seeds: Annotated[
        str | None, setting(PredictionConfig, "seeds", default=STORED, metavar="greedy|local_maxima")
    ] = None,
    scale: Annotated[float | None, setting(PredictionConfig, "scale", default=STORED)] = None,
    find_scale: Annotated[
        bool | None, setting(PredictionConfig, "find_scale", "--find-scale/--keep-scale", default=STORED)
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    spacing: Spacing = None,
    device: Device = "auto",
    precision: Annotated[
        str | None, setting(PredictionConfig, "precision", default=STORED, metavar="float32|bfloat16|float16")
    ] = None,
    engine: Annotated[
        str | None, setting(PredictionConfig, "engine", default=STORED, metavar="auto|torch|openvino|int8")
    ] = None,
    tile: Annotated[str | None, setting(PredictionConfig, "tile", default=STORED, metavar="Z,Y,X")] = None,
    tile_overlap: Annotated[
        str | None, setting(PredictionConfig, "tile_overlap", default=STORED, metavar="Z,Y,X")
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Also write NAME.csv, with one row per object: score, size, position.")
    ] = False,
    save_maps: Annotated[
        bool,
        typer.Option(
            "--save-maps",
            help="Also write maps/NAME.tif: seed map, offsets and margins of each image as channels of a TIFF.",
        ),
    ] = False,
    planes: Annotated[
        bool,
        typer.Option(
            "--planes",
            help="Write NAME.tif as a stack of planes, one object each, in place of labels: objects that cross keep "
            "all their pixels.",
        ),
    ] = False,
    report: Annotated[
        bool | None,
        typer.Option(
            "--report/--no-report",
            help="Write report.html, with thumbnails, counts, sizes and what stands out; of two images or more unless "
            "switched off.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing label images, tables and maps.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an earlier run that was stopped: images that already have complete labels from this "
            "model and these settings are skipped.",
        ),
    ] = False,
    level: Level = None,
    region: RegionOption = None,
    block: BlockOption = None,
    halo: HaloOption = None,
    name: LabelsName = None,
    table: TableOption = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    part: Part = None,
    finish: Finish = False,
    dry_run: DryRunOption = False,
    all_blocks: AllBlocks = False,
    no_progress: NoProgress = False,
) -> None:
    """Segment images: DIR/NAME.tif holds the labels of NAME.tif, of the same size.

    An OME-Zarr is segmented block by block, in the memory of one block, and its labels become part of it.
    """
    changes = {
        "tta": tta,
        "seed_threshold": seed_threshold,
        "foreground_threshold": foreground_threshold,
        "faint_seeds": faint_seeds,
        "margin_scale": margin_scale,
        "min_object_size": min_object_size,
        "max_object_size": max_object_size,
        "drop_border_objects": drop_border_objects,
        "fill_holes": fill_holes,
        "seeds": seeds,
        "scale": scale,
        "find_scale": find_scale,
        "precision": precision,
        "engine": engine,
        "tile": parse_tile(tile),
        "tile_overlap": parse_tile_overlap(tile_overlap),
    }
    given = {
        "level": level,
        "region": region,
        "block": block,
        "halo": halo,
        "name": name,
        "table": table,
        "workers": workers,
        "scheduler": scheduler,
        "part": part,
        "finish": finish,
        "dry_run": dry_run,
        "all_blocks": all_blocks,
    }
    asked = [f"--{option.replace('_', '-')}" for option, value in given.items() if value]
    from embedseg_napari.core.files.zarr_image import is_store

    # With a folder for label images a store is an image file like others.
    into_new_store = output is not None and output.suffix.lower() == ".zarr"
    # What is called like a store and is none is refused as such.
    into_own_store = output is None and any(is_store(path) or path.suffix.lower() == ".zarr" for path in inputs)
    if asked or into_new_store or into_own_store:
        refused = {
            "--resume (a run goes on by itself)": resume,
            "--save-maps": save_maps,
            "--planes": planes,
            "--report": report,
            "--spacing": spacing,
        }
        for option, value in refused.items():
            if value:
                raise typer.BadParameter(f"{option} is not for images that are segmented in blocks.")
        if len(inputs) != 1:
            raise typer.BadParameter(f"{asked[0] if asked else 'An OME-Zarr'} is for one image at a time.")
        segment_in_blocks(
            inputs[0], model, output, device, changes, given,
            axes=axes, channel=channel, overwrite=overwrite, shown=not no_progress,
        )  # fmt: skip
        return
    if output is None:
        raise typer.BadParameter("name the folder for the label images: --output DIR.")
    from embedseg_napari.jobs.folder.plan import FolderJob
    from embedseg_napari.jobs.folder.segment_folder import segment_folder

    job = FolderJob(
        tuple(inputs),
        output,
        model,
        device,
        changes,
        overwrite=overwrite,
        resume=resume,
        tables="each" if csv else "",
        axes=axes,
        channel="all" if channel is None else channel,
        spacing=parse_spacing(spacing),
        save_maps=save_maps,
        planes=planes,
        report=report,
    )
    if overwrite and resume:
        raise typer.BadParameter("--resume and --overwrite cannot be used together; choose one.")
    request, progress, began = StopRequest(), PredictionProgress(shown=not no_progress), time.monotonic()
    with request.listening("Stopping; press Ctrl-C again to end at once."), progress.showing():
        result = drain(segment_folder(job, request), progress)
    images = count(result.n_images, "image")
    if result.n_skipped:
        say(f"{result.n_skipped} of {images} segmented by an earlier run and skipped")
    where = f"; {'planes' if planes else 'labels'} are in {output}" if result.n_saved else ""
    say(f"{result.n_saved} of {images} segmented in {time.monotonic() - began:.1f} s{where}")
    if result.report is not None:
        say(f"report: {result.report}")
    if result.stopped:
        complain(f"Stopped: {result.n_left} of {images} not segmented.")
        raise typer.Exit(request.status)
    if result.failures:
        complain(f"Error: {len(result.failures)} of {images} failed; the messages above say why.")
        raise typer.Exit(1)
    if report and result.report is None:
        complain("Error: the report was not written; the message above says why.")
        raise typer.Exit(1)
