"""CPU seconds of networks in bands and in one piece, in turns, with the largest difference of their outputs.

python benchmarks/bands.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.networks import erfnet, unet
from embedseg_napari.core.networks.bands import can_band
from embedseg_napari.core.networks.memory_order import memory_format
from embedseg_napari.core.networks.network import raw_output

CASES = {"nuclei-2d": (1280, 1280), "nuclei-3d": (96, 320, 320), "untrained U-Net": (96, 320, 320)}


def network_of(name: str, ndim: int) -> torch.nn.Module:
    """A bundled network, or an untrained one whose outputs differ from pixel to pixel."""
    if name in ("nuclei-2d", "nuclei-3d"):
        return load_model(name, device="cpu").network
    network = unet.UNet(ndim).eval().to(memory_format=memory_format(ndim))
    torch.nn.init.normal_(network.embedding_layer.weight, std=0.1)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, shape in CASES.items():
        network, image = network_of(name, len(shape)), torch.rand(1, 1, *shape)
        for precision in ("bfloat16", "float32"):
            seconds: dict[bool, list[float]] = {False: [], True: []}
            outputs = {}
            for _ in range(options.repeats):
                for in_bands in (False, True):
                    for module in (erfnet, unet):
                        module.can_band = can_band if in_bands else lambda *_: False
                    start = time.process_time()
                    outputs[in_bands] = raw_output(network, image, precision)
                    seconds[in_bands].append(time.process_time() - start)
            whole, bands = (statistics.median(seconds[in_bands]) for in_bands in (False, True))
            difference = float((outputs[True] - outputs[False]).abs().max())
            print(
                f"{name}, {' x '.join(map(str, shape))}, {precision}: {whole:.2f} s in one piece, {bands:.2f} s in "
                f"bands, {whole / bands:.2f} times as fast; outputs differ by at most {difference:.1g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
