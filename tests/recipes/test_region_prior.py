from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.face_clip import ATTRIBUTES, LabelledFaces
from recipes.labels.captions import PHRASES
from recipes.region_prior import measure_regions
from styleclip_rt.checkpoints import looks
from styleclip_rt.errors import CheckpointError


def painted_faces() -> LabelledFaces:
    """Each face as it is, with painted lips (lower middle), and with painted skin (middle)."""
    rng = np.random.default_rng(0)
    images, truth, face = [], [], []
    for number in range(12):
        plain = rng.integers(0, 99, (32, 32, 3)).astype(np.uint8)
        for name, window in (
            ("", None),
            ("lips_red", (slice(22, 26), slice(12, 20))),
            ("skin_dark", (slice(8, 28), slice(8, 24))),
            ("hair_red", (slice(0, 8), slice(4, 28))),
        ):
            image, label = plain.copy(), np.zeros(len(ATTRIBUTES), np.int8)
            if window:
                image[window] += 100
                label[ATTRIBUTES.index(name)] = 1
            images.append(image)
            truth.append(label)
            face.append(number)
    return LabelledFaces(np.stack(images), np.stack(truth), np.array(face))


def test_maps_show_where_looks_were_painted(tmp_path: Path) -> None:
    prior = measure_regions(painted_faces())
    lips = prior.maps[ATTRIBUTES.index("lips_red")]
    assert float(lips[23:25, 13:19].min()) == 1.0
    assert float(lips[:18].max()) == 0.0
    hair = prior.maps[ATTRIBUTES.index("hair_red")]
    assert float(hair[1:6, 6:26].min()) == 1.0
    assert float(hair[14:].max()) == 0.0
    assert prior.phrases[0] == PHRASES[ATTRIBUTES[0]][0]
    looks.save(prior, tmp_path / "p.safetensors")
    loaded = looks.load_region_prior(tmp_path / "p.safetensors")
    assert loaded.phrases == prior.phrases
    torch.testing.assert_close(loaded.maps, prior.maps, atol=1e-3, rtol=0)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no")
    with pytest.raises(CheckpointError):
        looks.load_region_prior(tmp_path / "x")
