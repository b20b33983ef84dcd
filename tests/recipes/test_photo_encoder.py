"""What is linear in the thumbnail is found, and made small."""

import torch

from recipes.photo_encoder import fit, share_explained
from styleclip_rt.photos.encoder import SIDE


def test_a_linear_relation_is_found() -> None:
    torch.manual_seed(0)
    basis = torch.rand(6, 3 * SIDE**2)
    thumbnails = torch.rand(400, 6) @ basis / 6
    unfolded = (thumbnails @ torch.randn(3 * SIDE**2, 12)).view(400, 3, 4)
    made = fit(thumbnails[:300], unfolded[:300], rank=6, ridge=1e-4)
    assert made.reduce.out_features == 6
    assert share_explained(made, thumbnails[300:], unfolded[300:]) > 0.99
