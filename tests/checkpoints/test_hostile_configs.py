"""Configs that fit the tensors but not the network are refused where they are read."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from styleclip_rt.checkpoints import draft_heads, looks, mapper_file, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.looks import LookDirections, RegionPrior
from styleclip_rt.models.mapper import (
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    PromptMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from tests.tiny import tiny_bundle, tiny_generator

PROMPTS = PromptMapper(PromptMapperConfig(4, (1, 2), ("old", "red"), 8, 4, 2, 4, 2, 1))
LEVELS = LevelsMapper(LevelsMapperConfig((1, 1, 2), latent_dim=4))
STYLES = StyleSpaceMapper(StyleSpaceMapperConfig((4, 4, 3), (0, 2)))
GENERATOR = StyleGAN2(StyleGAN2Config((4, 3), 4, 2, 2.0))
BUNDLE = tiny_bundle()


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (PROMPTS, {"rows": [1, 4]}),
        (PROMPTS, {"rows": [-1, 2]}),
        (PROMPTS, {"rows": [1, 1]}),
        (PROMPTS, {"rows": [1.0, 2.0]}),
        (PROMPTS, {"rows": "12"}),
        (PROMPTS, {"n_latent": 2**40}),
        (PROMPTS, {"n_latent": True}),
        (PROMPTS, {"prompts": ["old", ""]}),
        (PROMPTS, {"prompts": ["old", "old"]}),
        (PROMPTS, {"prompts": ["old", 3]}),
        (PROMPTS, {"prompts": "ab"}),
        (LEVELS, {"group_sizes": [1, 1, -2]}),
        (LEVELS, {"group_sizes": [1, 1]}),
        (LEVELS, {"group_sizes": [2**40, 1, 1]}),
        (LEVELS, {"groups": ["coarse", "middle", "fine", "hair"]}),
        (STYLES, {"moved": [0, 3]}),
        (STYLES, {"channels": [4, 0, 3]}),
        (STYLES, {"channels": [4, 2**62, 3]}),
        (GENERATOR, {"clamp": -1}),
        (GENERATOR, {"clamp": "256"}),
        (GENERATOR, {"clamp": float("nan")}),
        (GENERATOR, {"channels": {"0": 4}}),
        (GENERATOR, {"n_mlp": None}),
        (GENERATOR, {"n_mlp": 2**31}),
        (GENERATOR, {"channels": [100_000] * 2}),
        (tiny_generator(), {"draft_resolutions": [12]}),
        (tiny_generator(), {"draft_resolutions": [16, 16]}),
        (BUNDLE.clip, {"std": [0, 0, 0]}),
        (BUNDLE.clip, {"mean": [0, 0]}),
        (BUNDLE.clip, {"mean": [float("inf"), 0, 0]}),
        (BUNDLE.clip, {"image_resolution": 2**31}),
        (BUNDLE.clip, {"image_resolution": 4}),
        (BUNDLE.clip, {"vision": []}),
        (BUNDLE.clip, {"vision": {"widths": [8, 16], "depths": [1, 2**40]}}),
        (BUNDLE.clip, {"text": None}),
        (BUNDLE.identity, {"crop": [0, 0, 0, 0]}),
        (BUNDLE.identity, {"crop": [0, 0, 2, 2]}),
        (BUNDLE.identity, {"crop": [0.5, 0.5, 0.1, 0.1]}),
        (BUNDLE.identity, {"units": [1, 2**40]}),
    ],
)
def test_a_config_that_does_not_work_is_refused(
    model: nn.Module, changes: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    config = asdict(model.config) | changes  # type: ignore[call-overload]
    native.write(model.state_dict(), path, native.architecture_of(model), config)
    with pytest.raises(CheckpointError, match=r"(broken .* config|cannot be built|shape).*\.$"):
        native.load(path)


@pytest.mark.parametrize(
    "model", [PROMPTS, LEVELS, STYLES, GENERATOR, BUNDLE.clip, BUNDLE.identity]
)
def test_the_config_that_was_written_is_read(model: nn.Module, tmp_path: Path) -> None:
    native.save(model, tmp_path / "m.safetensors")
    assert native.load(tmp_path / "m.safetensors").config == model.config


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(6)]
    for file in files:
        mapper_file.save(PROMPTS, file, mapper_file.Origin("ffhq", "0123456789abcdef"))
    assert len({file.read_bytes() for file in files}) == 1


def _save_prior(path: Path, phrases: Any, maps: torch.Tensor) -> None:
    native.write({"maps": maps}, path, looks.REGION_PRIOR, {"phrases": phrases})


def _save_directions(path: Path, phrases: Any, values: torch.Tensor) -> None:
    state = {"readers": values, "bias": values[:, 0].clone(), "moves": values.clone()}
    native.write(state, path, looks.LOOK_DIRECTIONS, {"phrases": phrases})


@pytest.mark.parametrize(
    ("save", "load", "value"),
    [
        (_save_prior, looks.load_region_prior, torch.rand(2, 3, 3)),
        (_save_directions, looks.load_directions, torch.rand(2, 4)),
    ],
)
def test_looks_that_do_not_fit_are_refused(
    save: Callable[..., None],
    load: Callable[[Path], RegionPrior | LookDirections],
    value: torch.Tensor,
    tmp_path: Path,
) -> None:
    path = tmp_path / "looks.safetensors"
    save(path, ["old", "red"], value)
    assert load(path).phrases == ["old", "red"]
    for phrases, spoilt in (
        (["old"], value),
        (["old", 3], value),
        ("ol", value),
        ({"a": 1, "b": 2}, value),
        (None, value),
        (["old", "red"], value * float("nan")),
        (["old", "red"], value.long()),
        (["old", "red"], value[None]),
        ([], value[:0]),
    ):
        save(path, phrases, spoilt)
        with pytest.raises(CheckpointError, match=r"looks\.safetensors.*\.$"):
            load(path)


@pytest.mark.parametrize("sizes", [[12], [16, 16], [2**40], ["16"], 16, None, [64], [True]])
def test_draft_heads_of_other_sizes_are_refused(sizes: object, tmp_path: Path) -> None:
    path = tmp_path / "heads.safetensors"
    heads = {k: v for k, v in tiny_generator().state_dict().items() if k.startswith("draft_heads.")}
    native.write(heads, path, draft_heads.ARCHITECTURE, {"draft_resolutions": sizes})
    with pytest.raises(CheckpointError, match=r"heads\.safetensors.*\.$"):
        draft_heads.attach(tiny_generator(()), path)
