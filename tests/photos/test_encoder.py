"""The encoder that inversions start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from styleclip_rt.errors import CheckpointError
from styleclip_rt.photos import encoder
from styleclip_rt.photos.encoder import PhotoEncoder, photo_encoder, state_of


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "encoder.safetensors"
    monkeypatch.setattr(encoder, "WEIGHTS", path)
    photo_encoder.cache_clear()
    yield path
    photo_encoder.cache_clear()


def test_what_is_stored_comes_back(stored: Path) -> None:
    torch.manual_seed(0)
    made = PhotoEncoder(5, 3, 16)
    save_file(state_of(made), stored, {"generator": "mine"})
    read = photo_encoder("mine")
    assert read is not None
    images = torch.rand(2, 3, 64, 64)
    assert read(images).shape == (2, 3, 16)
    torch.testing.assert_close(read(images), made(images).detach(), atol=2e-3, rtol=2e-3)
    assert photo_encoder("another") is None


def test_a_damaged_file_is_said_to_be_one(stored: Path) -> None:
    stored.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="install the package again"):
        photo_encoder("mine")
