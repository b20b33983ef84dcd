"""The networks against TensorFlow.js; see tests/golden/photo_networks/RECIPE.md."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from styleclip_rt.photos import networks

GOLDEN = Path(__file__).parents[1] / "golden" / "photo_networks"


@pytest.fixture(scope="module")
def face() -> Tensor:
    pixels = np.array(Image.open(GOLDEN / "face.png"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(GOLDEN / "outputs.safetensors")


def test_the_detector_finds_what_tensorflow_finds(face, expected):
    scores, boxes = networks.face_detector()(face / 127.5 - 1)
    torch.testing.assert_close(scores[0], expected["scores"], atol=1e-3, rtol=1e-5)
    best = scores[0].argsort(descending=True)[:16]
    assert set(best.tolist()) == set(expected["best"].tolist())
    torch.testing.assert_close(boxes[0, expected["best"]], expected["boxes"], atol=1e-3, rtol=1e-5)


def test_the_mesh_lies_where_tensorflow_puts_it(face, expected):
    network = networks.face_mesh()
    points, presence = network(face[:, :, 32:224, 32:224] / 255)
    torch.testing.assert_close(torch.sigmoid(presence), expected["presence"], atol=1e-4, rtol=0)
    refined = torch.cat([network.lips, network.left_eye, network.right_eye])
    coarse = torch.tensor(sorted(set(range(468)) - set(refined.tolist())))
    close = {"atol": 1e-3, "rtol": 0}
    torch.testing.assert_close(points[0, coarse], expected["points"][coarse], **close)
    torch.testing.assert_close(points[0, :468, 2], expected["points"][:, 2], **close)
    for found, name in (
        (points[0, network.lips, :2], "lips"),
        (points[0, network.left_eye, :2], "left_eye"),
        (points[0, network.right_eye, :2], "right_eye"),
        (points[0, 468:473, :2], "left_iris"),
        (points[0, 473:, :2], "right_iris"),
    ):
        torch.testing.assert_close(found / 192, expected[name] / 192, **close)


def test_the_segmenter_sees_the_person_that_tensorflow_sees(face, expected):
    person = torch.sigmoid(networks.person_segmenter()(face / 255))
    torch.testing.assert_close(person[0, ::8, ::8], expected["person"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(96, 64), (160, 256)])
def test_the_detector_takes_any_size_and_batch(size):
    scores, boxes = networks.face_detector()(torch.zeros(2, 3, *size))
    anchors = size[0] * size[1] // 128 + 6 * size[0] * size[1] // 1024
    assert scores.shape == (2, anchors)
    assert boxes.shape == (2, anchors, 16)


def test_a_batch_of_crops_gives_each_its_own_mesh(face):
    crop = face[:, :, 32:224, 32:224] / 255
    both, _ = networks.face_mesh()(torch.cat([crop.flip(3), crop]))
    alone, _ = networks.face_mesh()(crop)
    torch.testing.assert_close(both[1], alone[0], atol=1e-3, rtol=0)
