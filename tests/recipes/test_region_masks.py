from pathlib import Path
from typing import Any

import pytest
import torch

from recipes.labels import region_masks
from recipes.labels.region_masks import MASKS, RegionMasks
from styleclip_rt.errors import StyleClipError
from styleclip_rt.training.latent_dataset import LatentDataset, generate
from tests.recipes.test_painted_looks import Told
from tests.tiny import tiny_bundle


def test_masks_are_found_once_and_kept(
    face: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_masks, "SHARD", 3)
    bundle = tiny_bundle(draft=64)
    generate(bundle, tmp_path, 7, 1, 0, 0.7)
    latents = LatentDataset(tmp_path, "train")
    found = RegionMasks(bundle.generator, latents, Told(face)).of([0, 6, 1])  # type: ignore[arg-type]
    assert found.shape == (3, len(MASKS), 64, 64)
    assert found.min() == 0 and 0.5 < found.max() <= 1
    hair, left, right = found[0, :3]
    assert (left * right).max() == 0 and left[:, 32:].max() == 0 and right[:, :32].max() == 0
    assert left.sum() > 0
    assert (hair * (left + right)).max() < 0.5
    kept = RegionMasks(bundle.generator, latents, None)
    torch.testing.assert_close(kept.of([0, 6, 1]), found)
    with pytest.raises(StyleClipError, match="no teachers"):
        kept.of([3])
    damaged = tmp_path / "masks-train-00000.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(StyleClipError, match="damaged"):
        RegionMasks(bundle.generator, latents, None).of([0])
