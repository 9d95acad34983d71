"""Time the network's forward and backward pass with one and two threads, alone and beside a busy program.

python benchmarks/threads.py                              and with OMP_WAIT_POLICY=PASSIVE in front
"""

from __future__ import annotations

import multiprocessing
import statistics
import time

import torch

from embedseg_napari.core.networks.erfnet import BranchedERFNet

STEPS = 25


def keep_busy() -> None:
    while True:
        pass


def median_step(n_threads: int) -> float:
    torch.set_num_threads(n_threads)
    network = BranchedERFNet(2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(4, 1, 128, 128).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(STEPS + 3):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x)
        out.float().square().mean().backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def main() -> None:
    most = torch.get_num_threads()
    for is_beside in (False, True):
        other = multiprocessing.Process(target=keep_busy, daemon=True)
        if is_beside:
            other.start()
        for n in sorted({1, most}):
            print(f"{'beside a busy program' if is_beside else 'alone':22s} {n:2d} thread(s) {median_step(n):.3f} s")
        if is_beside:
            other.kill()


if __name__ == "__main__":
    main()
