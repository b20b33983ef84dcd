"""ArcFace and FaceNet files against what upstream computed from them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.checkpoints import load_identity, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, CLIPConfig, ConvTowerConfig, TextConfig
from styleclip_rt.models.facenet import InceptionResnetV1

from .conftest import filled

State = Callable[[str], dict[str, Tensor]]
Output = Callable[[str, str], Tensor]


def agrees(ours: Tensor, upstream: Tensor) -> bool:
    error = (F.normalize(ours, dim=1) - upstream).abs().max()
    return bool(error <= 1e-5 * (upstream.max() - upstream.min()))


def insightface(config: ArcFaceConfig) -> dict[str, Tensor]:
    """A small state dict as InsightFace_Pytorch names it, for shapes that it does not offer."""
    state: dict[str, Tensor] = {}

    def norm(name: str, width: int, affine: bool = True) -> None:
        for part in ("weight", "bias") if affine else ():
            state[f"{name}.{part}"] = filled(f"{name}.{part}", [width])
        for part in ("running_mean", "running_var"):
            state[f"{name}.{part}"] = filled(f"{name}.{part}", [width])

    def weight(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = filled(f"{name}.weight", list(shape))

    inputs, index = config.widths[0], 0
    weight("input_layer.0", inputs, 3, 3, 3)
    norm("input_layer.1", inputs)
    weight("input_layer.2", inputs)
    for width, units in zip(config.widths, config.units, strict=True):
        for _ in range(units):
            body = f"body.{index}"
            if inputs != width:
                weight(f"{body}.shortcut_layer.0", width, inputs, 1, 1)
                norm(f"{body}.shortcut_layer.1", width)
            norm(f"{body}.res_layer.0", inputs)
            weight(f"{body}.res_layer.1", width, inputs, 3, 3)
            weight(f"{body}.res_layer.2", width)
            weight(f"{body}.res_layer.3", width, width, 3, 3)
            norm(f"{body}.res_layer.4", width)
            if config.squeeze_excite:
                squeezed = width // config.reduction
                weight(f"{body}.res_layer.5.fc1", squeezed, width, 1, 1)
                weight(f"{body}.res_layer.5.fc2", width, squeezed, 1, 1)
            inputs, index = width, index + 1
    side = config.input_size // 2 ** len(config.widths)
    norm("output_layer.0", inputs)
    weight("output_layer.3", config.embed_dim, inputs * side * side)
    state["output_layer.3.bias"] = filled("output_layer.3.bias", [config.embed_dim])
    norm("output_layer.4", config.embed_dim, affine=False)
    return state


SMALL = ArcFaceConfig(widths=(8, 16), units=(2, 3), reduction=4, embed_dim=12, input_size=16)


def test_ir_se50_equals_upstream(
    upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    torch.save(upstream_state("arcface_ir_se"), tmp_path / "model_ir_se50.pth")
    model = load_identity(tmp_path / "model_ir_se50.pth")
    assert isinstance(model, ArcFace)
    assert model.config == ArcFaceConfig()
    faces = 50 * filled("input", [1, 3, 112, 112])
    assert agrees(model(faces), upstream_output("arcface_ir_se", "embedding"))


def test_inception_resnet_equals_upstream(
    upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    state = upstream_state("arcface_facenet")
    # Published files carry the classifier of the training set too.
    state["logits.weight"], state["logits.bias"] = torch.zeros(7, 512), torch.zeros(7)
    torch.save(state, tmp_path / "vggface2.pt")
    model = load_identity(tmp_path / "vggface2.pt")
    assert isinstance(model, InceptionResnetV1)
    faces = 50 * filled("input", [1, 3, 160, 160])
    assert agrees(model(faces), upstream_output("arcface_facenet", "embedding"))
    native.save(model, tmp_path / "native.safetensors")
    assert torch.equal(load_identity(tmp_path / "native.safetensors")(faces), model(faces))


@pytest.mark.parametrize("squeeze_excite", [True, False])
def test_shape_is_read_from_the_tensors(squeeze_excite: bool, tmp_path: Path) -> None:
    reduction = SMALL.reduction if squeeze_excite else ArcFaceConfig.reduction
    config = ArcFaceConfig(
        widths=(8, 16),
        units=(2, 3),
        squeeze_excite=squeeze_excite,
        reduction=reduction,
        embed_dim=12,
        input_size=16,
    )
    torch.save(insightface(config), tmp_path / "small.pth")
    model = load_identity(tmp_path / "small.pth")
    assert model.config == config
    native.save(model, tmp_path / "native.safetensors")
    again = load_identity(tmp_path / "native.safetensors")
    assert again.config == config
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


def test_missing_surplus_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state, path = insightface(SMALL), tmp_path / "small.pth"
    key = "body.1.res_layer.3.weight"
    for broken, message in (
        ({name: value for name, value in state.items() if name != key}, f"lacks.*'{key}'"),
        (state | {"body.1.extra": torch.zeros(3)}, "surplus tensor 'body.1.extra'"),
        (state | {key: torch.zeros(3)}, r"'units\.1\.conv2\.weight' of shape \(3,\)"),
    ):
        torch.save(broken, path)
        with pytest.raises(CheckpointError, match=message):
            load_identity(path)


class Bomb:
    """A pickle that would create the folder `target` when read by a plain unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def bomb(path: Path) -> None:
    torch.save({"body.0": Bomb(path.parent / "touched")}, path)


def truncated(path: Path) -> None:
    torch.save(insightface(SMALL), path)
    path.write_bytes(path.read_bytes()[:3000])


def text(path: Path) -> None:
    path.write_text("<html>Quota exceeded</html>")


def empty(path: Path) -> None:
    path.touch()


def a_list(path: Path) -> None:
    torch.save([torch.zeros(3)], path)


def unfinished_facenet(path: Path) -> None:
    torch.save({"conv2d_1a.conv.weight": torch.zeros(32, 3, 3, 3)}, path)


def flat_arcface(path: Path) -> None:
    torch.save({"body.0.res_layer.1.weight": torch.zeros(3)}, path)


def clip(path: Path) -> None:
    config = CLIPConfig(
        embed_dim=4,
        image_resolution=8,
        vision=ConvTowerConfig(widths=(4,), depths=(1,)),
        text=TextConfig(width=4, layers=1, heads=1, vocabulary_size=8),
    )
    native.save(CLIP(config), path)


def nothing(path: Path) -> None:
    return


@pytest.mark.parametrize(
    "make",
    [bomb, truncated, text, empty, a_list, unfinished_facenet, flat_arcface, clip, nothing],
)
def test_broken_or_hostile_file_is_one_clear_error(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "identity.pth"
    make(path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"\.$") as raised:
        load_identity(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before
