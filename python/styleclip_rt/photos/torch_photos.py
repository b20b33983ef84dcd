"""The networks and graphs for photographs in PyTorch, as functions of NumPy arrays."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.photos.networks import face_detector, face_mesh, person_segmenter
from styleclip_rt.photos.oklab import from_oklab, to_oklab


class Resample(nn.Module):
    """A picture seen through an affine map, see `styleclip_rt.photos.resampling`."""

    def forward(
        self, source: Tensor, finer: Tensor, y: Tensor, x: Tensor, matrix: Tensor
    ) -> Tensor:
        """[C, h, w] -> [C, H, W].

        Args:
            source: float32.
            finer: int64 [], how many times finer the source is made first, by cubics.
            y, x: float64 [H, s] and [W, s], where the samples lie whose mean is a pixel.
            matrix: float64 [2, 3], (x, y, 1) to places in the source, -1 to 1 from edge to edge.
        """
        height, width = source.shape[1:]
        times: Any = finer.item()
        if not isinstance(times, int):  # torch's check loads SymPy, for half a second
            torch._check(times >= 1)  # type: ignore[no-untyped-call]
        region = source[None]
        if not _is_one(times):
            # Keys' own cubics, which keep straight lines straight; grid_sample's do not.
            size = (height * times, width * times)
            region = F.interpolate(region, size, mode="bicubic", antialias=True)
        across, down, start = matrix.unbind(1)
        grid = x.reshape(1, -1, 1) * across + y.reshape(-1, 1, 1) * down + start
        sampled = F.grid_sample(
            region, grid.float()[None], "bilinear", "border", align_corners=False
        )[0]
        if _is_one(x.shape[1]):
            return sampled
        each = (source.shape[0], y.shape[0], y.shape[1], x.shape[0], x.shape[1])
        return sampled.reshape(each).mean((2, 4))


class Warp(nn.Module):
    """A picture whose pixels are moved."""

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        """[C, H, W] and [2, H, W], in parts of its width and height -> [C, H, W]: what came to a
        place was that far to the left and above. Mirrored beyond the border."""
        y, x = (
            (torch.arange(n, dtype=torch.float32) + 0.5) / n
            for n in (image.shape[1], image.shape[2])
        )
        grid = torch.stack([x - flow[0], y[:, None] - flow[1]], -1)
        return F.grid_sample(
            image[None], 2 * grid[None] - 1, "bicubic", "reflection", align_corners=False
        )[0]


class Oklab(nn.Module):
    """sRGB [3, H, W] in [0, 1] -> Oklab."""

    def forward(self, image: Tensor) -> Tensor:
        return to_oklab(image)


class Recolour(nn.Module):
    """The last of `styleclip_rt.photos.compositing.composite`."""

    def forward(self, photograph: Tensor, edited: Tensor, weight: Tensor) -> Tensor:
        """A photograph in sRGB, it as edited in Oklab, [3, H, W] each, and how much of that comes
        in [H, W] -> [3, H, W] in sRGB."""
        return photograph.lerp(from_oklab(edited), weight)


def _is_one(number: object) -> bool:
    """Whether it is known to be 1: what is traced may become any number."""
    return isinstance(number, int) and number == 1


class Graph(NamedTuple):
    """What makes a module, whose `forward` names its inputs, and the names of its outputs."""

    module: Callable[[], nn.Module]
    outputs: tuple[str, ...]


GRAPHS = {
    "face_detector": Graph(face_detector, ("scores", "boxes")),
    "face_mesh": Graph(face_mesh, ("points", "presence")),
    "person_segmenter": Graph(person_segmenter, ("logits",)),
    "resample": Graph(Resample, ("pixels",)),
    "warp": Graph(Warp, ("moved",)),
    "oklab": Graph(Oklab, ("colours",)),
    "recolour": Graph(Recolour, ("shown",)),
}
"""By name."""


class TorchPhotos:
    """A `styleclip_rt.photos.engine.PhotoEngine` on the CPU."""

    @torch.inference_mode()
    def run(self, network: str, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """See `styleclip_rt.photos.engine.PhotoEngine`.

        Raises:
            CheckpointError: the package's weights are missing or damaged.
        """
        module, names = GRAPHS[network]
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        if "images" in tensors:
            images = tensors["images"]
            tensors["images"] = images.contiguous(memory_format=torch.channels_last)
        found = module()(**tensors)
        outputs = (found,) if isinstance(found, Tensor) else found
        return {name: x.numpy() for name, x in zip(names, outputs, strict=True)}


@cache
def torch_photos() -> TorchPhotos:
    """The one that is taken where no other is named."""
    return TorchPhotos()
