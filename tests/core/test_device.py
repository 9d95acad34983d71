from __future__ import annotations

import pytest
import torch

from embedseg_napari.core import device as device_module
from embedseg_napari.core.device import choose_device, is_out_of_memory, name_of, supports_bfloat16, supports_precision
from embedseg_napari.core.errors import ComputeError


def test_auto_takes_a_gpu_only_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_missing_device_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ComputeError, match="use device cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu:7", "CUDA"])
def test_unknown_device_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ComputeError, match="There is no device"):
        choose_device(name)


def test_gpu_that_is_not_among_those_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    with pytest.raises(ComputeError, match=r"2 CUDA device"):
        choose_device("cuda:2")


@pytest.mark.parametrize(("flags", "expected"), [({"avx512_bf16"}, True), ({"amx_bf16"}, True), ({"avx2"}, False)])
def test_bfloat16_needs_hardware(monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: bool) -> None:
    monkeypatch.setattr(device_module, "processor_flags", lambda: frozenset(flags))
    assert supports_bfloat16(torch.device("cpu")) is expected
    assert supports_precision(torch.device("cpu"), "bfloat16") is expected


def test_a_gpu_that_is_not_the_current_one_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    names = {"cpu": "cpu", "cpu:0": "cpu", "mps:0": "mps", "cuda": "cuda", "cuda:0": "cuda", "cuda:1": "cuda:1"}
    assert {device: name_of(torch.device(device)) for device in names} == names


def test_precisions_of_a_cpu_and_of_apple_gpus() -> None:
    assert supports_precision(torch.device("cpu"), "float32")
    assert not supports_precision(torch.device("cpu"), "float16")
    assert not supports_bfloat16(torch.device("mps"))


def test_processor_flags_from_linux_where_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse2\n")
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(device_module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(device_module, "Path", lambda _: info)
    device_module.processor_flags.cache_clear()
    try:
        assert "avx512_bf16" in device_module.processor_flags()
    finally:
        device_module.processor_flags.cache_clear()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("sizes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_full_memory_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
