import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from recipes import mappers
from recipes.__main__ import recipes
from recipes.hair_colours import recipe as hair_colours
from styleclip_rt.bundle import Bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.training.latent_dataset import LatentDataset, generate
from styleclip_rt.training.style_units import StyleStatistics
from tests.tiny import tiny_bundle


@pytest.fixture
def bundle() -> Bundle:
    return tiny_bundle()


@pytest.fixture
def latents(bundle: Bundle, tmp_path: Path) -> Path:
    generate(bundle, tmp_path / "latents", train=4, val=2)
    return tmp_path / "latents"


def test_a_trained_mapper_ships_at_its_strength(
    bundle: Bundle, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mappers, "load_bundle", lambda: bundle)
    out = tmp_path / "old"
    given = ["old", "--latents", str(latents), "--out", str(out), "--precision", "fp32"]
    said = CliRunner().invoke(recipes, given, catch_exceptions=False)
    assert said.exit_code == 0
    made = out / "old.safetensors"
    assert f"made {made}" in said.output
    kept, origin = mapper_file.load(made)
    assert isinstance(kept, PromptMapper)
    assert kept.config.prompts == ("old",)
    torch.testing.assert_close(kept.strengths, torch.tensor([1.15]))
    assert origin.bundle == bundle.name
    assert list(json.loads((out / "report.json").read_text())["made"]) == [str(made)]


def test_the_first_colour_joins_a_mapper_that_moves_nothing(bundle: Bundle) -> None:
    data: Any = SimpleNamespace(statistics=StyleStatistics.of(bundle.generator))
    still = hair_colours.still(bundle, data)
    dim, rows = still.config.latent_dim, list(still.config.rows)
    w_plus, move = torch.randn(3, bundle.generator.n_latent, dim), torch.randn(1, len(rows), dim)
    with torch.no_grad():
        assert not still(w_plus, still.texts.expand(3, -1)).any()
        text = bundle.clip.encode_text(tokenize(["red hair"]))
        none = torch.zeros(0, len(rows), dim), torch.zeros(1, 0, still.config.face_dim)
        red = hair_colours.with_strength(
            still.adding(["red hair"], text, move, *none), "red hair", 2
        )
        offset = red(w_plus, text.expand(3, -1))
    assert red.config.prompts == ("red hair",)
    torch.testing.assert_close(offset[:, rows], 2 * move.expand(3, -1, -1))


def test_hair_colours_go_on_only_as_they_began(latents: Path, tmp_path: Path) -> None:
    of, out = LatentDataset(latents, "train"), tmp_path / "hair"
    for _ in range(2):
        hair_colours.go_on(out, of, faces=1)
    with pytest.raises(StyleClipError, match="a run with other settings"):
        hair_colours.go_on(out, of, faces=2)
