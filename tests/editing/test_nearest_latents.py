import torch

from styleclip_rt.editing.spaces import NearestLatents
from tests.tiny import tiny_generator


def test_styles_of_a_face_are_found_again() -> None:
    generator = tiny_generator()
    w = generator.mapping(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)))
    styles = generator.styles(w[:, None].repeat(1, generator.n_latent, 1))
    found = generator.styles(NearestLatents(generator)(styles))
    for near, style in zip(found, styles, strict=True):
        assert (near - style).norm() < 0.1 * style.norm()
