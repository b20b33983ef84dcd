"""Mappers read from StyleCLIP's own files compute what StyleCLIP computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from styleclip_rt.checkpoints import load_mapper
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.mapper import LevelsMapper, StyleSpaceMapper

GOLDEN = Path(__file__).parents[1] / "golden" / "mapper_styleclip"


@pytest.mark.parametrize("name", ["levels", "no_fine", "single"])
def test_edits_w_plus_as_upstream(name: str) -> None:
    golden = load_file(GOLDEN / "outputs.safetensors")
    mapper = load_mapper(GOLDEN / f"{name}.pt")
    assert isinstance(mapper, LevelsMapper)
    edited = golden["w_plus"] + mapper(golden["w_plus"])
    torch.testing.assert_close(edited, golden[name], rtol=1e-5, atol=1e-5)
    moved = (edited != golden["w_plus"]).flatten(2).any(2).any(0)
    assert moved.tolist() == [True] * 8 + [name != "no_fine"] * 2


def test_edits_style_space_as_upstream() -> None:
    golden = load_file(GOLDEN / "outputs.safetensors")
    mapper = load_mapper(GOLDEN / "stylespace.pt")
    assert isinstance(mapper, StyleSpaceMapper)
    assert mapper.config.channels == (16, 16, 16, 12, 12, 12, 8, 8)
    styles = list(torch.split(golden["styles"], mapper.config.channels, dim=1))
    edited = [style + offset for style, offset in zip(styles, mapper(styles), strict=True)]
    torch.testing.assert_close(torch.cat(edited, 1), golden["stylespace"], rtol=1e-5, atol=1e-5)


def _drop(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["state_dict"].pop(key)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("levels", lambda c: c.pop("state_dict"), 'no "state_dict"'),
        ("levels", lambda c: c.pop("opts"), "which size of StyleGAN2"),
        ("levels", lambda c: c["opts"].update(stylegan_size=1000), "which size of StyleGAN2"),
        ("levels", _drop("mapper.fine_mapping.mapping.3.bias"), "fine_mapping.mapping.3.bias"),
        ("levels", lambda c: c["state_dict"].update(x=torch.ones(1)), "surplus tensor 'x'"),
        (
            "levels",
            lambda c: c["state_dict"].update({"mapper.y": torch.ones(1)}),
            "surplus tensor 'y'",
        ),
        (
            "levels",
            lambda c: c.update(state_dict={"decoder.weight": torch.ones(1)}),
            "no tensors named",
        ),
        ("stylespace", lambda c: c["state_dict"].update({"mapper.mapper_²": 0}), "no named tensor"),
        (
            "stylespace",
            lambda c: c["state_dict"].update({"mapper.mapper_²": torch.ones(1)}),
            "unknown kind",
        ),
        (
            "stylespace",
            lambda c: [c["state_dict"].pop(k) for k in [*c["state_dict"]] if "mapper_3." in k],
            "lacks the networks of some styles",
        ),
    ],
)
def test_spoilt_files_say_what_is_wrong(
    name: str, spoil: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    content = torch.load(GOLDEN / f"{name}.pt", weights_only=True)
    spoil(content)
    torch.save(content, tmp_path / "mapper.pt")
    with pytest.raises(CheckpointError, match=message):
        load_mapper(tmp_path / "mapper.pt")
