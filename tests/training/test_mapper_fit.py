from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.training import mapper_fit
from styleclip_rt.training.latent_dataset import LatentDataset, generate
from styleclip_rt.training.mapper_fit import MapperFit, ridge
from styleclip_rt.training.painting import nearest_hair
from styleclip_rt.training.regions import to_oklab
from tests.tiny import tiny_bundle, tiny_prompt_mapper


def test_ridge_finds_a_move_that_depends_on_the_face() -> None:
    torch.manual_seed(0)
    shared, varying = torch.randn(20), torch.randn(2, 20)
    effects, seen = torch.randn(300, 3, 20), torch.randn(300, 2)
    missing = torch.einsum("nku,nu->nk", effects, shared + seen @ varying)
    first, rest = ridge(effects, missing, seen)
    for found, true in ((first, shared), (rest, varying)):
        assert torch.cosine_similarity(found.flatten(), true.flatten(), dim=0) > 0.98
        assert 0.8 < found.norm() / true.norm() < 1


def test_the_nearest_hair_is_no_further_than_it_must_be() -> None:
    brown = torch.tensor([0.36, 0.0265, 0.0424])
    torch.testing.assert_close(nearest_hair("hair_brown", brown), brown)
    black = nearest_hair("hair_black", brown)
    assert 0.2 < black[0] < 0.24
    assert black[1:].norm() < 0.01
    fair = nearest_hair("hair_brown", torch.tensor([0.7, 0.02, 0.08]))
    assert 0.35 < fair[0] < 0.42
    with pytest.raises(StyleClipError, match="no hair colour"):
        nearest_hair("lips_red", brown)


class UpperHalf:
    """Stands in for the masks of a data set: hair above, all else below."""

    def of(self, rows: list[int]) -> torch.Tensor:
        masks = torch.zeros(len(rows), 5, 64, 64)
        masks[:, 0, :32] = 1
        masks[:, 1, 32:, :32] = masks[:, 2, 32:, 32:] = 1
        return masks


class Rows:
    """Stands in for a data set."""

    def __init__(self, latents: torch.Tensor) -> None:
        self.latents = latents

    def __len__(self) -> int:
        return len(self.latents)

    def w(self, rows: list[int]) -> torch.Tensor:
        return self.latents[rows]


class TwoLamps:
    """Stands in for a generator: one style lights the whole picture, the other its lower half."""

    n_latent, latent_dim, resolution, style_rows = 2, 4, 64, (0, 1)
    mean_latent = torch.zeros(4)

    def mapping(self, z: torch.Tensor) -> torch.Tensor:
        return z

    def styles(self, w_plus: torch.Tensor) -> list[torch.Tensor]:
        return [w_plus[:, 0], w_plus[:, 1]]

    def synthesis(self, w_plus: torch.Tensor, resolution: int) -> torch.Tensor:
        all_, lower = 0.1 * w_plus[:, 0, 0], 0.1 * w_plus[:, 1, 1]
        halves = torch.stack((all_, all_ + lower), 1).repeat_interleave(resolution // 2, 1)
        return halves[:, None, :, None].expand(-1, 3, -1, resolution)


@pytest.mark.parametrize("at_once", [1, 8])
def test_fitted_hair_ends_alike_and_leaves_the_rest(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mapper_fit.AT_ONCE, "cpu", at_once)
    torch.manual_seed(0)
    w, bundle, generator = torch.randn(40, 4), tiny_bundle(), TwoLamps()
    lit = SimpleNamespace(generator=generator, clip=bundle.clip)
    mapper = PromptMapper(PromptMapperConfig(2, (0, 1), ("old",), 8, 4, face_dim=2, rank=1))
    with torch.no_grad():
        mapper.face_axes.copy_(torch.eye(4)[:2])
        mapper.texts[0] = -bundle.clip.encode_text(tokenize(["black hair"]))
    fit = MapperFit(lit, Rows(w), UpperHalf(), mapper, ["black hair"], face_dim=4)  # type: ignore[arg-type]
    fitted = fit.run(faces=20, rounds=2)
    assert fitted.config.prompts == ("old", "black hair")
    assert fitted.config.face_dim == 4

    def halves(w_plus: torch.Tensor) -> torch.Tensor:
        image = generator.synthesis(w_plus, 64) * 0.5 + 0.5
        return to_oklab(image)[:, 0].unflatten(1, (2, -1)).mean(dim=(2, 3))

    w_plus = w[:, None].repeat(1, 2, 1)
    with torch.no_grad():
        edited = w_plus + fitted(w_plus, fit.texts.expand(40, -1))
    before, after = halves(w_plus), halves(edited)
    assert after[:, 0].max() < 0.3
    assert (after - before)[:, 1].abs().max() < 0.05


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path, 2, 1, 0, 0.7)
    mapper = tiny_prompt_mapper(bundle, ("black hair",))
    latents = LatentDataset(tmp_path, "train")
    for prompt, why in (("old", "no hair colour"), ("black hair", "already")):
        with pytest.raises(StyleClipError, match=why):
            MapperFit(bundle, latents, UpperHalf(), mapper, [prompt])  # type: ignore[arg-type]
