from __future__ import annotations

from embedseg_napari.viewer.last_used import LastUsed


def test_values_are_kept_for_each_panel(own_settings) -> None:
    assert LastUsed("segment").read() == {}
    LastUsed("segment").keep(model="a=b;\n细", scale=2.0)
    LastUsed("segment").keep(scale=0.5, thresholds={"seeds": "greedy"})
    LastUsed("train").keep(scale=3)
    assert LastUsed("segment").read() == {"model": "a=b;\n细", "scale": 0.5, "thresholds": {"seeds": "greedy"}}
    assert any(own_settings.rglob("last_used.ini"))


def test_a_damaged_file_starts_anew(own_settings) -> None:
    LastUsed("segment").keep(scale=2)
    (file,) = own_settings.rglob("last_used.ini")
    hostile = (
        "[1, 2]",
        "nonsense",
        "a, b",
        "@Invalid()",
        "@ByteArray({})",
        "[" * 100_000,
        '"{\\"scale\\": 1' + 5000 * "0" + '}"',
    )
    for text in (*(f"[General]\nsegment={value}\n" for value in hostile), "\0\1\2"):
        file.write_text(text)
        assert LastUsed("segment").read() == {}
    LastUsed("segment").keep(scale=1)
    assert LastUsed("segment").read() == {"scale": 1}
