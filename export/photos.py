"""The networks and graphs of photographs: they are the same for every bundle of faces."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.engines.export_info import Port
from styleclip_rt.export.networks import BATCH, Network, Sample, weights_hash
from styleclip_rt.photos.torch_photos import GRAPHS

MULTIPLE = 32
"""Of which the detector's height and width are."""


def _picture(name: str) -> Port:
    return Port(name, (3, "height", "width"), kind="image")


def _smooth(channels: int, size: tuple[int, int], random: torch.Generator) -> Tensor:
    """[channels, *size] in [0, 1]."""
    few = torch.rand(1, channels, 7, 7, generator=random)
    return F.interpolate(few, size, mode="bilinear")[0]


def _size(random: torch.Generator, unit: int = 1) -> tuple[int, int]:
    low, high = 64 // unit, 192 // unit
    height, width = torch.randint(low, high, (2,), generator=random).tolist()
    return height * unit, width * unit


def _crops(size: int, count: int, random: torch.Generator) -> tuple[Tensor, ...]:
    return (torch.stack([_smooth(3, (size, size), random) for _ in range(count)]),)


def _levels(count: int, random: torch.Generator) -> tuple[Tensor, ...]:
    size = _size(random, MULTIPLE)
    return (torch.stack([2 * _smooth(3, size, random) - 1 for _ in range(count)]),)


def _views(samples: int, random: torch.Generator) -> tuple[Tensor, ...]:
    source, size = _smooth(3, _size(random), random), _size(random)
    y, x = ((torch.arange(n * samples).double() / n).view(n, samples) for n in size)
    matrix = torch.tensor([[1.6, 0.2, -0.9], [-0.2, 1.6, -0.7]], dtype=torch.float64)
    return source, torch.randint(1, 4, (), generator=random), y, x, matrix


def _motions(_: int, random: torch.Generator) -> tuple[Tensor, ...]:
    size = _size(random)
    return _smooth(3, size, random), 0.1 * _smooth(2, size, random) - 0.05


def _recolourings(_: int, random: torch.Generator) -> tuple[Tensor, ...]:
    size = _size(random)
    lightness, *colours, weight = _smooth(4, size, random)
    edited = torch.stack([lightness, *(0.4 * colour - 0.2 for colour in colours)])
    return _smooth(3, size, random), edited, weight


_Ports = tuple[Port, ...]
_IMAGES = {side: Port("images", (BATCH, 3, side, side), kind="image") for side in (192, 256)}
_TABLE: dict[str, tuple[_Ports, _Ports, Sample]] = {
    "face_detector": (
        (Port("images", (BATCH, 3, "height", "width"), kind="image"),),
        (Port("scores", (BATCH, "anchors")), Port("boxes", (BATCH, "anchors", 16))),
        _levels,
    ),
    "face_mesh": (
        (_IMAGES[192],),
        (Port("points", (BATCH, 478, 3)), Port("presence", (BATCH,))),
        partial(_crops, 192),
    ),
    "person_segmenter": (
        (_IMAGES[256],),
        (Port("logits", (BATCH, 256, 256)),),
        partial(_crops, 256),
    ),
    "resample": (
        (
            Port("source", ("channels", "height", "width"), kind="image"),
            Port("finer", (), "int64"),
            Port("y", ("rows", "samples"), "float64"),
            Port("x", ("columns", "samples"), "float64"),
            Port("matrix", (2, 3), "float64"),
        ),
        (Port("pixels", ("channels", "rows", "columns"), kind="image"),),
        _views,
    ),
    "warp": (
        (
            Port("image", ("channels", "height", "width"), kind="image"),
            Port("flow", (2, "height", "width")),
        ),
        (Port("moved", ("channels", "height", "width"), kind="image"),),
        _motions,
    ),
    "oklab": (
        (_picture("image"),),
        (_picture("colours"),),
        lambda _, random: (_smooth(3, _size(random), random),),
    ),
    "recolour": (
        (_picture("photograph"), _picture("edited"), Port("weight", ("height", "width"))),
        (_picture("shown"),),
        _recolourings,
    ),
}


def _network(name: str) -> Network:
    inputs, outputs, sample = _TABLE[name]
    module = GRAPHS[name].module()
    return Network(
        name,
        module,
        inputs,
        outputs,
        sample,
        weights_hash(module),
        multiples={"height": MULTIPLE, "width": MULTIPLE} if name == "face_detector" else {},
        fp32_only=True,
    )


PHOTO_NETWORKS: dict[str, Callable[[], Network]] = {
    name: partial(_network, name) for name in GRAPHS
}
"""Name -> what builds it."""
