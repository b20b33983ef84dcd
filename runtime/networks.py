"""What the networks of a bundle are in any engine. Needs no torch."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.engine import PhotoEngine
from styleclip_rt.runtime.starts import Latents

if TYPE_CHECKING:
    from torch import Tensor

    Values = Tensor | NDArray[np.float32]
    """A tensor of the engine torch, an array of any other."""


class Networks(Latents, Protocol):
    """A generator in some engine, and what goes with it.

    Attributes:
        resolution: of its images, in px.
        context_length: tokens that its CLIP reads of a text, two marks among them.
        photos: computes on the pixels of photographs.
        takes_photographs: whether all is there that photographs need.
    """

    @property
    def context_length(self) -> int: ...
    @property
    def resolution(self) -> int: ...
    @property
    def photos(self) -> PhotoEngine: ...
    @property
    def takes_photographs(self) -> bool: ...

    @property
    def residue_shape(self) -> tuple[int, ...] | None:
        """(C, R, R) of a start's residue; None where the engine draws without."""

    def draw(self, latent: Any, *, residue: NDArray[np.float32] | None = None) -> "Values":
        """w+ [N, n_latent, latent_dim] -> images [N, 3, H, W] in [0, 1] at full size; a residue
        [N, C, R, R] as in `Start`, for engines that have a `residue_shape`."""
