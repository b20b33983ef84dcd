from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from recipes.hair_colours import edits
from recipes.hair_colours.edits import HairFaces
from recipes.hair_colours.fit import MapperFit, ridge
from recipes.labels.painting import nearest_hair
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.training.latent_dataset import LatentDataset, generate
from styleclip_rt.training.style_units import StyleStatistics
from tests.recipes.lamps import Rows, TwoLamps, UpperHalf
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


@pytest.mark.parametrize("at_once", [1, 8])
def test_fitted_hair_ends_alike_and_leaves_the_rest(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(edits.AT_ONCE, "cpu", at_once)
    torch.manual_seed(0)
    w, bundle, generator = torch.randn(40, 4), tiny_bundle(), TwoLamps()
    lit = SimpleNamespace(generator=generator, clip=bundle.clip)
    data = HairFaces(lit, Rows(w), UpperHalf())  # type: ignore[arg-type]
    mapper = PromptMapper(PromptMapperConfig(2, (0, 1), ("old",), 8, 4, face_dim=2, rank=1))
    with torch.no_grad():
        mapper.face_axes.copy_(StyleStatistics.of(generator).coordinates[:2])
        mapper.texts[0] = -bundle.clip.encode_text(tokenize(["black hair"]))
    fit = MapperFit(data, mapper, ["black hair"], face_dim=4)
    fitted = fit.run(faces=20, rounds=2)
    assert fitted.config.prompts == ("old", "black hair")
    assert fitted.config.face_dim == 4

    w_plus = w[:, None].repeat(1, 2, 1)
    with torch.no_grad():
        edited = w_plus + fitted(w_plus, fit.edits.texts.expand(40, -1))
    before, after = generator.halves(w_plus), generator.halves(edited)
    assert after[:, 0].max() < 0.3
    assert (after - before)[:, 1].abs().max() < 0.05


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path, 2, 1, 0, 0.7)
    mapper = tiny_prompt_mapper(bundle, ("black hair",))
    data = HairFaces(bundle, LatentDataset(tmp_path, "train"), UpperHalf())  # type: ignore[arg-type]
    for prompt, why in (("old", "no hair colour"), ("black hair", "already")):
        with pytest.raises(StyleClipError, match=why):
            MapperFit(data, mapper, [prompt])
