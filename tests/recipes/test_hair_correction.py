from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from recipes.hair_colours.correction import MapperCorrection, reader
from recipes.hair_colours.edits import HairFaces
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.training.latent_dataset import LatentDataset, generate
from tests.recipes.lamps import Rows, TwoLamps, UpperHalf
from tests.tiny import tiny_bundle, tiny_prompt_mapper


def test_a_reader_learns_what_bends() -> None:
    torch.manual_seed(0)
    every, axes = torch.randn(2000, 6), torch.randn(2, 6)
    told = 3 + torch.relu(every @ axes.T)
    read = reader(every[:400], told[:400], every)
    with torch.no_grad():
        unexplained = (read(every[1000:]) - told[1000:]).var(dim=0) / told.var(dim=0)
    assert unexplained.max() < 0.1


def test_a_corrected_prompt_meets_its_colour_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    w, bundle, generator = torch.randn(60, 4), tiny_bundle(), TwoLamps()
    lit = SimpleNamespace(generator=generator, clip=bundle.clip)
    data = HairFaces(lit, Rows(w), UpperHalf())  # type: ignore[arg-type]
    mapper = PromptMapper(
        PromptMapperConfig(2, (0, 1), ("old", "black hair"), 8, 4, face_dim=2, rank=1)
    )
    with torch.no_grad():
        text = bundle.clip.encode_text(tokenize(["black hair"]))
        mapper.texts[0], mapper.texts[1] = -text[0], text[0]
        # Half of the way to black, and nothing of what differs among faces.
        mapper.directions[1, :, 0], mapper.directions[1, 1, 1] = -3.0, 3.0
        mapper.strengths[1] = 0.5
    correction = MapperCorrection(data, mapper, ["black hair"])
    corrected = correction.run(faces=10, drawn=40)

    w_plus = w[:, None].repeat(1, 2, 1)
    texts = text.expand(len(w), -1)
    with torch.no_grad():
        before, halfway, after = (
            generator.halves(latent)
            for latent in (
                w_plus,
                w_plus + mapper(w_plus, texts),
                w_plus + corrected(w_plus, texts),
            )
        )
        torch.testing.assert_close(corrected(w_plus, -texts), mapper(w_plus, -texts))
    assert halfway[:, 0].std() > 0.03
    assert after[:, 0].std() < 0.01
    assert after[:, 0].max() < 0.3
    assert (after - before)[:, 1].abs().max() < 0.05


def test_what_cannot_be_corrected_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path, 2, 1, 0, 0.7)
    mapper = tiny_prompt_mapper(bundle, ("old", "red hair"))
    data = HairFaces(bundle, LatentDataset(tmp_path, "train"), UpperHalf())  # type: ignore[arg-type]
    for prompt, why in (("old", "no hair colour"), ("black hair", "does not have")):
        with pytest.raises(StyleClipError, match=why):
            MapperCorrection(data, mapper, [prompt])
    correction = MapperCorrection(data, mapper, ["red hair"])
    with pytest.raises(StyleClipError, match="no faces left"):
        correction.run(faces=2, drawn=2)
