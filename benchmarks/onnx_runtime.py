"""ONNX Runtime by itself: our synthesis against a naive export, and a mapper called alone.

Part of ``python -m benchmarks.exports``, whose files it runs.
"""

import time
from pathlib import Path

import torch

from benchmarks import networks, peers
from benchmarks.textbook import TextbookStyleGAN2
from benchmarks.timing import interleave
from styleclip_rt import engines

ROUNDS = 7
CALLS = 1000


def against_naive(portable: Path, resolution: int) -> dict[str, list[float]]:
    """Milliseconds of one image: our portable file of StyleGAN2 with random weights, and the
    textbook's network exported as it stands for a batch of one, by turns on the same threads.

    Raises:
        RuntimeError: the two draw different images.
    """
    model = networks.stylegan2(resolution)
    textbook = TextbookStyleGAN2(model)
    x = networks.latents(model, 1)
    naive = peers.export(f"textbook-{resolution}-1", textbook, textbook.synthesis, x)
    threads = engines.threads()
    runs = {
        "ours": peers.onnx_runtime(portable, x, threads),
        "naive": peers.onnx_runtime(naive, x, threads),
    }
    images = [run() for run in runs.values()]
    if abs(images[0] - images[1]).max() > 1e-3:
        raise RuntimeError(f"{portable} and {naive} draw different images.")
    times = interleave(runs, ROUNDS, warmup=0)
    return {name: [1000 * s for s in each.seconds] for name, each in times.items()}


def alone(file: Path) -> list[float]:
    """Milliseconds of many calls of a mapper's file, one after the other."""
    engine = engines.load(file)
    random = torch.Generator().manual_seed(0)
    inputs: dict[str, engines.Array] = {}
    for port in engine.info.inputs:
        shape = [1 if isinstance(length, str) else length for length in port.shape]
        whole = port.dtype == "int64"
        value = torch.zeros(shape) if whole else torch.randn(shape, generator=random)
        inputs[port.name] = value.numpy().astype(port.dtype)
    milliseconds = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        engine(inputs)
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return milliseconds
