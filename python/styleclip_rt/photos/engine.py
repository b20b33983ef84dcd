"""What computes on the pixels of photographs. Needs no torch."""

from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]


class PhotoEngine(Protocol):
    """Runs the networks and graphs of `styleclip_rt.photos.torch_photos.GRAPHS`."""

    def run(self, network: str, **inputs: Array) -> dict[str, Array]:
        """What a network makes of `inputs`, by the names of its outputs."""


def chosen(engine: PhotoEngine | None) -> PhotoEngine:
    """`engine`, or PyTorch's where none is given."""
    if engine is not None:
        return engine
    from styleclip_rt.photos.torch_photos import torch_photos

    return torch_photos()
