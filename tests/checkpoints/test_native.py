"""Our own weights format: what goes in comes out, and nothing else is accepted."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from styleclip_rt.checkpoints import load_generator, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

CONFIG = StyleGAN2Config((6, 5, 4), latent_dim=8, n_mlp=2, clamp=1.5)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    native.save(StyleGAN2(CONFIG), tmp_path / "g.safetensors")
    return tmp_path / "g.safetensors"


def rewrite(path: Path, tensors: dict[str, torch.Tensor], **metadata: str) -> None:
    save_file(tensors, path, {**native.read_metadata(path), **metadata})


def test_model_survives_the_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = StyleGAN2(CONFIG)
    native.save(model, tmp_path / "g.safetensors")
    again = load_generator(tmp_path / "g.safetensors")
    assert again.config == CONFIG and isinstance(again.config.channels, tuple)
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    w = torch.randn(2, 8)
    assert torch.equal(again.synthesis(w), model.synthesis(w))


def test_half_precision_is_widened(saved: Path) -> None:
    exact = load_generator(saved)
    rewrite(saved, {key: value.half() for key, value in load_file(saved).items()})
    widened = load_generator(saved)
    assert {value.dtype for value in widened.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(widened.mapping(torch.ones(1, 8)), exact.mapping(torch.ones(1, 8)),
                               rtol=1e-2, atol=1e-2)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("constant"), "lacks the tensor 'constant'"),
        (lambda state: state.update(extra=torch.zeros(1)), "surplus tensor 'extra'"),
        (
            lambda state: state.update(constant=torch.zeros(1, 6, 4, 5)),
            r"'constant' of shape \(1, 6, 4, 5\) where \(1, 6, 4, 4\)",
        ),
    ],
)
def test_wrong_tensors_are_named(saved: Path, change, message: str) -> None:
    state = load_file(saved)
    change(state)
    rewrite(saved, state)
    with pytest.raises(CheckpointError, match=message):
        load_generator(saved)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"architecture": "os"}, "'os'"),
        ({"architecture": ""}, "''"),
        ({"config": "{"}, "broken stylegan2 config"),
        ({"config": "[1]"}, "broken stylegan2 config"),
        ({"config": '{"channels": [8], "size": 4}'}, "unknown field 'size'"),
        ({"config": '{"channels": [8]}'}, "8 to 1024"),
        ({"config": '{"channels": "wide"}'}, "."),
        ({"format": "styleclip-rt/2"}, "no format that a generator comes in"),
    ],
)
def test_wrong_metadata_is_named(saved: Path, metadata: dict[str, str], message: str) -> None:
    rewrite(saved, load_file(saved), **metadata)
    with pytest.raises(CheckpointError, match=message):
        load_generator(saved)


def test_config_is_plain_json(saved: Path) -> None:
    config = json.loads(native.read_metadata(saved)["config"])
    assert config == {"channels": [6, 5, 4], "latent_dim": 8, "n_mlp": 2, "clamp": 1.5}


def test_foreign_models_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Linear cannot be saved"):
        native.save(nn.Linear(2, 2), tmp_path / "linear.safetensors")
    assert not any(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def disk_full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(CheckpointError, match="No space left"):
        native.save(StyleGAN2(StyleGAN2Config((3, 3), latent_dim=4, n_mlp=1)), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_file_is_told_by_its_content_not_its_first_byte(tmp_path: Path) -> None:
    """A header whose length ends in 0x80 starts like a pickle."""
    model = StyleGAN2(StyleGAN2Config((3, 3), latent_dim=4, n_mlp=1))
    path = tmp_path / "g.safetensors"
    native.save(model, path)
    state, metadata = load_file(path), native.read_metadata(path)
    for padding in range(300):
        save_file(state, path, {**metadata, "note": "x" * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert load_generator(path).config == model.config
