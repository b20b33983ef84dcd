"""From an aligned photograph straight to a latent that roughly draws it.

The start that saves an inversion its first steps: the photograph's thumbnail, linearly, through few
numbers, to w+ before the mapping network's last leaky ReLU (`models.generator.unfold`). Fitted by
`python -m recipes photo-encoder` to one generator's faces, so it serves no other.
"""

from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.generator import fold
from styleclip_rt.ops.area_resample import area_resample

SIDE = 32
"""Of the thumbnail, in px."""

WEIGHTS = Path(__file__).parents[1] / "weights" / "photos" / "photo_encoder.safetensors"


class PhotoEncoder(nn.Module):
    """An aligned face -> w+.

    Args:
        rank: how many numbers the thumbnail is reduced to.
        n_latent, latent_dim: of w+.
    """

    def __init__(self, rank: int, n_latent: int, latent_dim: int) -> None:
        super().__init__()
        self.n_latent, self.latent_dim = n_latent, latent_dim
        self.reduce = nn.Linear(3 * SIDE**2, rank)
        self.expand = nn.Linear(rank, n_latent * latent_dim)

    def forward(self, images: Tensor) -> Tensor:
        """RGB [N, 3, H, W] in [0, 1], aligned as FFHQ is, H and W of SIDE or more -> w+
        [N, n_latent, latent_dim]."""
        thumbnails = area_resample(images, SIDE).flatten(1)
        unfolded: Tensor = self.expand(self.reduce(thumbnails))
        return fold(unfolded.reshape(-1, self.n_latent, self.latent_dim))


@cache
def photo_encoder(generator: str) -> PhotoEncoder | None:
    """The encoder with its weights, on the CPU; None for a generator that it was not fitted to.

    Args:
        generator: its `fingerprint`.

    Raises:
        CheckpointError: the package's weights are missing or damaged.
    """
    try:
        with safe_open(WEIGHTS, "pt") as file:
            if (file.metadata() or {}).get("generator") != generator:
                return None
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        rows, dim = (int(length) for length in state.pop("shape"))
        encoder = PhotoEncoder(len(state["reduce.bias"]), rows, dim)
        encoder.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{WEIGHTS} is missing or damaged ({type(error).__name__}); install the package again."
        ) from error
    return encoder.eval().requires_grad_(False)


def state_of(encoder: PhotoEncoder) -> dict[str, Tensor]:
    """What WEIGHTS holds of it, in half precision."""
    state = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    return {**state, "shape": torch.tensor([encoder.n_latent, encoder.latent_dim])}
