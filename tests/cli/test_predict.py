"""``embedseg predict`` as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.jobs.folder import report

pytestmark = pytest.mark.usefixtures("no_trials")


@pytest.fixture
def images(tmp_path, draw):
    """Folder of two images with a pixel size."""
    folder = tmp_path / "images"
    for number in range(2):
        write_image(folder / f"im{number}.tif", draw(number)[0], "YX", (0.5, 0.5), "um")
    return folder


def test_predicting_loads_nothing_that_only_others_need(images, tmp_path):
    code = (
        "import sys\nfrom embedseg_napari.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('loaded', [name for name in ('pandas', 'scipy.optimize', 'sympy') if name in sys.modules])"
    )
    words = ["predict", "nuclei-2d", str(images), "--output", str(tmp_path / "labels")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("loaded []")


def test_writes_labels_of_the_same_size_and_pixel_size(embedseg, trained, images, tmp_path):
    out = tmp_path / "labels"
    # A network trained for two steps is sure of nothing: only without thresholds does it find objects.
    thresholds = ["--seed-threshold", 0, "--foreground-threshold", 0]
    ended = embedseg("predict", trained, images, "--output", out, *thresholds, "--csv")
    assert ended.status == 0, ended.err
    names = ["im0.csv", "im0.tif", "im1.csv", "im1.tif", "recipes", "report.html"]
    assert sorted(path.name for path in out.iterdir()) == names
    labels = read_image(out / "im0.tif")
    assert labels.array.shape == (48, 48)
    assert np.issubdtype(labels.array.dtype, np.integer)
    assert (labels.axes, labels.unit) == ("YX", "um")
    assert labels.spacing == pytest.approx((0.5, 0.5))
    assert "im0.tif: " in ended.out
    assert "2 of 2 images" in ended.out
    assert "\x1b" not in ended.out + ended.err
    rows = (out / "im0.csv").read_text().splitlines()
    assert rows[0] == "image,label,score,size,center_y,center_x,centroid_y,centroid_x"
    assert rows[1].startswith("im0.tif,1,")
    assert len(rows) == labels.array.max() + 1 > 1


def test_what_runs_the_network_is_said_once(embedseg, trained, images, tmp_path, monkeypatch):
    monkeypatch.setattr("embedseg_napari.core.inference.openvino_engine.find_spec", lambda name: None)
    ended = embedseg("predict", trained, images, "--output", tmp_path / "labels", "--engine", "openvino")
    assert ended.status == 0, ended.err
    assert (ended.out + ended.err).count("The network runs in PyTorch: OpenVINO is not installed") == 1


def test_thresholds_reach_the_clustering(embedseg, trained, images, tmp_path):
    none = embedseg("predict", trained, images, "--output", tmp_path / "a", "--min-object-size", 10**6)
    assert none.status == 0
    assert read_image(tmp_path / "a" / "im0.tif").array.max() == 0


def test_objects_left_out_are_missing_in_labels_table_and_log_alike(embedseg, tmp_path):
    shape = (128, 160)
    tifffile.imwrite(tmp_path / "a.tif", nuclei(shape, diameter=24, debris=0, seed=5).image)
    inside = np.zeros(shape, bool)
    inside[1:-1, 1:-1] = True
    counts = []
    for n, words in enumerate(([], ["--drop-border-objects"], ["--max-object-size", 300], ["--fill-holes"])):
        out = tmp_path / f"out{n}"
        ended = embedseg("predict", "nuclei-2d", tmp_path / "a.tif", "--output", out, "--csv", *words)
        assert ended.status == 0, ended.err
        labels = read_image(out / "a.tif").array
        counts.append(int(labels.max()))
        assert len(np.unique(labels[labels > 0])) == counts[-1]
        assert f"a.tif: {counts[-1]} object" in ended.out
        assert len((out / "a.csv").read_text().splitlines()) == counts[-1] + 1
        if "--drop-border-objects" in words:
            assert inside[labels > 0].all()
        n_left_out = counts[0] - counts[-1]
        assert f"{n_left_out} left out" in ended.out if n_left_out else "left out" not in ended.out
    assert 0 < counts[1] < counts[0] == counts[3]
    assert 0 < counts[2] < counts[0]


def test_what_is_stored_can_be_replaced(embedseg, trained, images, tmp_path):
    out = tmp_path / "out"
    words = ["--seeds", "local_maxima", "--margin-scale", 1.2, "--faint-seeds", 0.1, "--scale", 0.5, "--no-tta"]
    ended = embedseg("predict", trained, images, "--output", out, *words)
    assert ended.status == 0, ended.err


def test_frames_stay_frames(embedseg, draw, trained, tmp_path):
    write_image(tmp_path / "movie.tif", np.stack([draw(n)[0] for n in range(3)]), "TYX", (0.5, 0.5), "um")
    ended = embedseg("predict", trained, tmp_path / "movie.tif", "--output", tmp_path / "out")
    assert ended.status == 0, ended.err
    labels = read_image(tmp_path / "out" / "movie.tif")
    assert (labels.array.shape, labels.axes) == ((3, 48, 48), "TYX")


def test_planes_are_scored_against_planes_one_to_one(embedseg, tmp_path):
    for number in range(2):
        sample = nuclei((96, 128), diameter=20, debris=0, seed=number)
        write_image(tmp_path / "images" / f"im{number}.tif", sample.image, "YX", (0.5, 0.5), "um")
        planes = (sample.labels == np.arange(1, sample.labels.max() + 1)[:, None, None]).astype(np.uint8)
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "masks" / f"im{number}.tif", planes)
    scores = []
    for name, words in (("planes", ["--planes", "--csv"]), ("labels", [])):
        ended = embedseg("predict", "nuclei-2d", tmp_path / "images", "--output", tmp_path / name, *words)
        assert ended.status == 0, ended.err
        assert f"; {name} are in {tmp_path / name}" in ended.out.replace("\n", " ").replace("  ", " ")
        words = ["--truth", tmp_path / "masks", "--predicted", tmp_path / name, "--json", tmp_path / f"{name}.json"]
        ended = embedseg("evaluate", *words)
        assert ended.status == 0, ended.err
        assert "taken for planes" not in ended.err
        scores.append(json.loads((tmp_path / f"{name}.json").read_text()))
    planes, labels = scores
    # These nuclei touch but share no pixels: planes and labels say nearly the same.
    assert planes["ap"]["0.50"] == pytest.approx(labels["ap"]["0.50"], abs=0.05)
    assert planes["ap"]["0.50"] > 0.5
    first = read_image(tmp_path / "planes" / "im0.tif", labels=True)
    assert (first.axes, first.array.dtype, first.array.max()) == ("CYX", np.uint8, 1)
    assert len((tmp_path / "planes" / "im0.csv").read_text().splitlines()) == len(first.array) + 1


def test_planes_of_frames_and_blocks_are_refused_in_a_sentence(embedseg, draw, trained, tmp_path):
    write_image(tmp_path / "in" / "movie.tif", np.stack([draw(n)[0] for n in range(3)]), "TYX")
    write_image(tmp_path / "in" / "one.tif", draw(0)[0], "YX")
    ended = embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "out", "--planes")
    assert ended.status == 1
    assert "has frames (axes TYX), and planes are written of single images" in ended.err.replace("\n", " ")
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == ["one.tif"]
    ended = embedseg("predict", trained, tmp_path / "in" / "one.tif", "--region", "0:8,0:8", "--planes")
    assert (ended.status, "--planes is not for images" in ended.err) == (2, True)


def test_one_channel_of_several(embedseg, draw, trained, tmp_path):
    write_image(tmp_path / "two.tif", np.stack([draw(n)[0] for n in range(2)]), "CYX")
    ended = embedseg("predict", trained, tmp_path / "two.tif", "--output", tmp_path / "out", "--channel", 1)
    assert ended.status == 0, ended.err
    assert read_image(tmp_path / "out" / "two.tif").array.shape == (48, 48)
    ended = embedseg("predict", trained, tmp_path / "two.tif", "--output", tmp_path / "none", "--channel", 2)
    assert ended.status == 1
    assert (
        f"Error: {tmp_path / 'two.tif'}: The image has 2 channels, counted from 0; there is no channel 2." in ended.err
    )
    write_image(tmp_path / "one.tif", draw(0)[0], "YX")
    ended = embedseg("predict", trained, tmp_path / "one.tif", "--output", tmp_path / "none", "--channel", 1)
    assert (ended.status, "no channel axis" in ended.err) == (1, True)


def test_the_first_channel_of_grey_images_is_the_image(embedseg, draw, trained, tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "grey.tif", draw(0)[0], "YX")
    write_image(tmp_path / "in" / "two.tif", np.stack([draw(0)[0], draw(1)[0]]), "CYX")
    ended = embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "out", "--channel", 0)
    assert ended.status == 0, ended.err
    labels = [read_image(tmp_path / "out" / name).array for name in ("grey.tif", "two.tif")]
    np.testing.assert_array_equal(*labels)
    ended = embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "all")
    assert (
        ended.status,
        "choose one channel (--channel 0 is the first) or their mean (--channel mean)" in ended.err,
    ) == (1, True)


def test_an_image_in_colour_is_told_which_model_is_for_it(embedseg, tmp_path):
    tifffile.imwrite(tmp_path / "tissue.tif", np.zeros((48, 48, 3), np.uint8), photometric="rgb")
    ended = embedseg("predict", "nuclei-2d", tmp_path / "tissue.tif", "--output", tmp_path / "out")
    assert ended.status == 1
    assert "take the model nuclei-histology-2d" in ended.err
    ended = embedseg(
        "predict", "nuclei-histology-2d", tmp_path / "tissue.tif", "--output", tmp_path / "out", "--channel", "mean"
    )
    assert ended.status == 1
    assert "take all of them (leave out --channel)" in ended.err
    again = embedseg("predict", "nuclei-histology-2d", tmp_path / "tissue.tif", "--output", tmp_path / "out")
    assert again.status == 0


def test_the_mean_of_all_channels(embedseg, draw, trained, tmp_path):
    (tmp_path / "in").mkdir()
    two = np.stack([draw(0)[0], draw(1)[0]])
    write_image(tmp_path / "in" / "mean.tif", two.mean(0, dtype=np.float32), "YX")
    write_image(tmp_path / "in" / "two.tif", two, "CYX")
    ended = embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "out", "--channel", "mean")
    assert ended.status == 0, ended.err
    np.testing.assert_array_equal(*[read_image(tmp_path / "out" / name).array for name in ("mean.tif", "two.tif")])
    ended = embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "none", "--channel", "red")
    assert (ended.status, "no channel" in ended.err) == (2, True)


def test_a_bad_image_is_reported_and_the_others_are_done(embedseg, trained, images, tmp_path):
    (images / "im00_broken.tif").write_bytes(b"II*\0 no more")
    out = tmp_path / "out"
    ended = embedseg("predict", trained, images, "--output", out)
    assert ended.status == 1
    assert "im00_broken.tif" in ended.err
    assert "1 of 3 images failed" in ended.err
    assert sorted(path.name for path in out.iterdir()) == ["im0.tif", "im1.tif", "recipes", "report.html"]


def test_where_every_image_fails_no_folder_is_left(embedseg, trained, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.tif").write_bytes(b"II*\0 no more")
    ended = embedseg("predict", trained, tmp_path / "images", "--output", tmp_path / "new" / "out")
    assert ended.status == 1
    assert "0 of 1 image segmented" in ended.out
    assert "labels are in" not in ended.out
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    assert embedseg("predict", trained, tmp_path / "images", "--output", tmp_path / "mine").status == 1
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize(
    ("words", "status", "fault"),
    [
        (["--axes", "YXQ"], 1, "YXQ"),
        (["--axes", "ZYX"], 1, "axes"),
        (["--seed-threshold", 3], 1, "seed_threshold"),
        (["--precision", "float8"], 1, "precision"),
        (["--seeds", "local-maxima"], 1, "seeds"),
        (["--tile", "100,100"], 2, "multiples of 8"),
        (["--tile", "8,64,64"], 1, "2D"),
        (["--tile-overlap", "-8,8"], 2, "not an overlap"),
        (["--tile-overlap", "much"], 2, "not an overlap"),
        (["--tile-overlap", "8,8,8"], 1, "2D"),
        (["--spacing", "-1,1"], 2, "pixel size"),
        (["--device", "abacus"], 1, "abacus"),
    ],
)
def test_wrong_options_are_named(embedseg, trained, images, tmp_path, words, status, fault):
    ended = embedseg("predict", trained, images, "--output", tmp_path / "out", *words)
    assert ended.status == status
    assert fault in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_a_stop_keeps_whole_label_images(start, draw, trained, tmp_path):
    for number in range(60):
        write_image(tmp_path / "images" / f"im{number}.tif", np.tile(draw(number)[0], (8, 8)), "YX")
    out = tmp_path / "out"
    child = start("predict", trained, tmp_path / "images", "--output", out)
    for line in child.stdout:
        if "object" in line:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 128 + signal.SIGINT, err
    assert "not segmented" in err
    done = list(out.glob("*.tif"))
    assert 0 < len(done) < 60
    assert all(read_image(path).array.shape == (384, 384) for path in done)


def test_an_unknown_model_is_named(embedseg, images, tmp_path):
    for model in ("no-such-model", tmp_path / "none.embedseg", tmp_path / "none.pth"):
        ended = embedseg("predict", model, images, "--output", tmp_path / "out")
        assert ended.status == 1
        assert str(model) in ended.err
        assert len(ended.err.splitlines()) == 1


def test_a_file_that_is_no_model_is_refused(embedseg, images, tmp_path):
    for name in ("fake.embedseg", "fake.pth"):
        (tmp_path / name).write_bytes(b"not a model at all")
        ended = embedseg("predict", tmp_path / name, images, "--output", tmp_path / "out")
        assert ended.status == 1
        assert name in ended.err


def test_two_inputs_of_one_name_are_refused_before_any_work(embedseg, draw, images, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "im1.tiff", draw(5)[0])
    # The model does not even exist: names are looked at first.
    ended = embedseg("predict", tmp_path / "none.embedseg", images, other, "--output", tmp_path / "out")
    assert ended.status == 1
    assert "im1.tif" in ended.err
    assert "im1.tiff" in ended.err
    assert not (tmp_path / "out").exists()


def test_existing_results_are_refused_before_any_work(embedseg, trained, images, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "im1.tif").write_text("precious")
    ended = embedseg("predict", tmp_path / "none.embedseg", images, "--output", out)
    assert ended.status == 1
    assert "--overwrite" in ended.err
    assert [path.name for path in out.iterdir()] == ["im1.tif"]
    assert embedseg("predict", trained, images, "--output", out, "--overwrite").status == 0
    assert read_image(out / "im1.tif").array.shape == (48, 48)


def test_inputs_are_never_replaced(embedseg, trained, images):
    before = (images / "im0.tif").read_bytes()
    ended = embedseg("predict", trained, images, "--output", images, "--overwrite")
    assert ended.status == 1
    assert "input image" in ended.err
    assert (images / "im0.tif").read_bytes() == before


def test_missing_and_empty_inputs_are_named(embedseg, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "empty"):
        ended = embedseg("predict", "model", tmp_path / name, "--output", tmp_path / "out")
        assert (ended.status, name in ended.err) == (1, True)
    (tmp_path / "file").write_text("")
    ended = embedseg("predict", "model", tmp_path / "empty", "--output", tmp_path / "file")
    assert (ended.status, "is a file" in ended.err) == (1, True)


@pytest.mark.parametrize("axes", ["XY", "TXY", "YX"])
def test_labels_lie_on_an_image_whose_axes_are_named_in_another_order(embedseg, draw, tmp_path, axes):
    image = draw(0)[0]
    array = image if axes == "YX" else np.stack([image.T] * 2) if axes == "TXY" else image.T
    (tmp_path / "flat").mkdir()
    tifffile.imwrite(tmp_path / "flat" / "a.tif", array, metadata=None)
    tifffile.imwrite(tmp_path / "plain.tif", image, metadata=None)
    assert embedseg("predict", "nuclei-2d", tmp_path / "flat", "--axes", axes, "--output", tmp_path / "out").status == 0
    assert (
        embedseg("predict", "nuclei-2d", tmp_path / "plain.tif", "--axes", "YX", "--output", tmp_path / "o").status == 0
    )
    found, plain = tifffile.imread(tmp_path / "out" / "a.tif"), tifffile.imread(tmp_path / "o" / "plain.tif")
    assert found.shape == array.shape
    for t, frame in enumerate(found if axes == "TXY" else [found]):
        # Numbers go on from frame to frame.
        expected = np.where(plain > 0, plain.astype(int) + t * plain.max(), 0)
        np.testing.assert_array_equal(frame if axes == "YX" else frame.T, expected)


def test_labels_of_an_ome_tiff_keep_the_order_of_its_axes(embedseg, blobs, tmp_path):
    volume = np.stack([blobs(3)[0]] * 2, axis=1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", volume, ome=True, metadata={"axes": "ZTYX"}, photometric="minisblack")
    assert embedseg("predict", "nuclei-3d", tmp_path / "a.ome.tif", "--output", tmp_path / "out").status == 0
    with tifffile.TiffFile(next((tmp_path / "out").glob("*.tif"))) as tif:
        assert tif.series[0].axes == "ZTYX"
        assert tif.series[0].shape == volume.shape


def test_a_folder_has_a_report_unless_it_is_switched_off(embedseg, trained, images, tmp_path):
    out = tmp_path / "out"
    ended = embedseg("predict", trained, images, "--output", out)
    assert f"report: {out / 'report.html'}" in ended.out
    command = f"<pre>embedseg predict {trained} {images} --output {out}</pre>"
    assert command in (out / "report.html").read_text(encoding="utf-8")
    ended = embedseg("predict", trained, images, "--output", tmp_path / "none", "--no-report")
    assert ended.status == 0
    assert "report: " not in ended.out
    assert not (tmp_path / "none" / "report.html").exists()
    ended = embedseg("predict", trained, images / "im0.tif", "--output", tmp_path / "one", "--report")
    assert (tmp_path / "one" / "report.html").exists()


def test_a_report_that_was_asked_for_and_not_written_is_a_failure(embedseg, trained, images, tmp_path, monkeypatch):
    def full(path, *_, **__):
        raise DataError(f"{path}: cannot be written (No space left on device).")

    monkeypatch.setattr(report, "write_atomically", full)
    for words, status in ((), 0), (("--report",), 1):
        ended = embedseg("predict", trained, images, "--output", tmp_path / str(status), *words)
        assert "The report was not written: " in ended.err
        assert ended.status == status
        assert ("Error: the report was not written" in ended.err) == bool(status)
        assert (tmp_path / str(status) / "im0.tif").exists()
