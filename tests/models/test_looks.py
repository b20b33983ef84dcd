from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.labels.captions import PHRASES
from recipes.labels.labelling import ATTRIBUTES
from recipes.look_directions import fit_directions
from styleclip_rt.checkpoints import looks
from styleclip_rt.editing.spaces import Space, Whitening
from styleclip_rt.errors import CheckpointError, StyleClipError
from styleclip_rt.models.generator import sample_z, unfold
from styleclip_rt.models.looks import LONGEST_MOVE, LookDirections
from tests.tiny import tiny_generator

OLD = ATTRIBUTES.index("old")


@pytest.fixture(scope="module")
def fitted() -> LookDirections:
    """Faces are old where the first principal axis says so; nothing else is known of them."""
    generator = tiny_generator()
    w = generator.mapping(sample_z(generator, range(400)))
    p = unfold(w) - unfold(generator.mean_latent)
    truth = np.full((400, len(ATTRIBUTES)), -1, np.int8)
    along = (p @ torch.linalg.inv(Whitening(generator).axes))[:, 0]
    truth[:, OLD] = along > along.median()
    return fit_directions(generator, w, truth)


def unit(index: int) -> torch.Tensor:
    return torch.eye(len(ATTRIBUTES))[index : index + 1]


def test_only_a_look_that_was_seen_gets_a_direction(fitted: LookDirections) -> None:
    assert fitted.phrases[OLD] == PHRASES["old"][0]
    assert fitted.moves.norm(dim=1).nonzero().flatten().tolist() == [OLD]
    axis = torch.nn.functional.normalize(Whitening(tiny_generator()).axes[0], dim=0)
    move = torch.nn.functional.normalize(fitted.moves[OLD], dim=0)
    assert float((axis @ move).abs()) > 0.9


def test_the_lead_reaches_the_reading_and_no_further(fitted: LookDirections) -> None:
    texts = torch.eye(len(ATTRIBUTES))
    lacking = -2 * fitted.moves[OLD : OLD + 1]
    for reading in (0.5, 1.0):
        moved = lacking + fitted.lead(unit(OLD), texts, lacking, reading)
        found = moved @ fitted.readers[OLD] + fitted.bias[OLD]
        torch.testing.assert_close(found, torch.tensor([reading]), rtol=1e-3, atol=1e-3)
    having = 9 * fitted.moves[OLD : OLD + 1]
    assert not fitted.lead(unit(OLD), texts, having, 1.0).any()
    far = fitted.lead(unit(OLD), texts, -99 * fitted.moves[OLD : OLD + 1], 1.0)
    assert float(far.norm()) <= LONGEST_MOVE * float(fitted.moves[OLD].norm()) * 1.001


def test_a_prompt_without_a_direction_moves_nothing(fitted: LookDirections) -> None:
    texts = torch.eye(len(ATTRIBUTES))
    other = fitted.lead(unit(ATTRIBUTES.index("glasses")), texts, fitted.moves[OLD : OLD + 1], 1.0)
    assert not other.any()


@pytest.mark.parametrize("space", ["w", "w+"])
def test_an_offset_toward_a_move_moves_every_row_by_it(space: str) -> None:
    generator = tiny_generator()
    start = generator.mapping(sample_z(generator, [3]))[:, None].repeat(1, generator.n_latent, 1)
    chosen = Space(
        generator, space, start, range(generator.n_latent), whitening=Whitening(generator)
    )
    move = torch.randn(1, generator.latent_dim, generator=torch.Generator().manual_seed(1)) * 0.1
    moved = unfold(chosen.w_plus(chosen.toward(move)))
    expected = (unfold(start) + move[:, None]).expand_as(moved)
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-3)
    plain = Space(generator, space, start, range(generator.n_latent))
    assert not plain.toward(move).any()


def test_the_file_gives_back_what_was_saved(fitted: LookDirections, tmp_path: Path) -> None:
    looks.save(fitted, tmp_path / "d.safetensors")
    loaded = looks.load_directions(tmp_path / "d.safetensors")
    assert loaded.phrases == fitted.phrases
    for name, value in fitted.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-2, atol=1e-3)
    (tmp_path / "x").write_text("no")
    with pytest.raises(CheckpointError):
        looks.load_directions(tmp_path / "x")


def test_a_lead_can_hold_another_look() -> None:
    random = torch.Generator().manual_seed(0)
    readers = torch.randn(2, 16, generator=random)
    moves = torch.nn.functional.normalize(readers, dim=1)
    directions = LookDirections(["old", "glasses"], readers, torch.zeros(2), moves)
    texts, start = torch.eye(2), -0.1 * moves[:1]
    plain = directions.lead(texts[:1], texts, start, 1.0) @ readers.T
    held = directions.lead(texts[:1], texts, start, 1.0, ["glasses"]) @ readers.T
    torch.testing.assert_close(held[:, 0], plain[:, 0])
    assert abs(float(plain[0, 1])) > 0.1 > 1e-4 > abs(float(held[0, 1]))
    with pytest.raises(StyleClipError, match="direction"):
        directions.lead(texts[:1], texts, start, 1.0, ["beards"])
