"""CLIP files of OpenAI, open_clip and transformers against what those programs computed."""

import io
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from styleclip_rt.checkpoints import load_clip, native
from styleclip_rt.checkpoints.torchscript import read_tensors
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP

from .conftest import GOLDEN, filled

State = Callable[[str], dict[str, Tensor]]
Output = Callable[[str, str], Tensor]

TOKENS = torch.tensor([[62, 5, 17, 63, 0, 0, 0, 0], [62, 9, 9, 30, 41, 2, 11, 63]])
PIXELS = 50 * filled("input", [2, 3, 32, 32])


class Tree(nn.Module):
    """A module that only holds tensors, so that TorchScript can archive any layout."""

    def forward(self) -> int:
        return 0


def save_archive(state: dict[str, Tensor], path: Path) -> None:
    """Write `state` as a TorchScript archive, with the extra attributes that OpenAI's have."""
    root = Tree()
    for key, value in state.items():
        module: nn.Module = root
        *parents, name = key.split(".")
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, Tree())
            module = module.get_submodule(parent)
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    root.register_buffer("input_resolution", torch.tensor(32))
    root.register_buffer("context_length", torch.tensor(8))
    root.register_buffer("vocab_size", torch.tensor(64))
    root.get_submodule("transformer.resblocks.0").attn_mask = torch.zeros(8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(root).save(str(path))


def rewrite(archive: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Pass every record of `archive` through `change(name, content)`."""
    with zipfile.ZipFile(archive) as file:
        records = {name: change(name, file.read(name)) for name in file.namelist()}
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in records.items():
            file.writestr(name, content)


def save_openai(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save(state, folder / "clip.pt")
    return folder / "clip.pt"


def save_openai_archive(state: dict[str, Tensor], folder: Path) -> Path:
    save_archive(state, folder / "archive.pt")
    return folder / "archive.pt"


def save_open_clip(state: dict[str, Tensor], folder: Path) -> Path:
    shutil.copy(GOLDEN / "clip_open_clip" / "open_clip_config.json", folder)
    save_file(state, folder / "open_clip_model.safetensors")
    return folder / "open_clip_model.safetensors"


def save_transformers(state: dict[str, Tensor], folder: Path) -> Path:
    shutil.copy(GOLDEN / "clip_transformers" / "config.json", folder)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder / "model.safetensors"


LAYOUTS = pytest.mark.parametrize(
    ("golden", "save"),
    [
        ("clip_openai", save_openai),
        ("clip_openai", save_openai_archive),
        ("clip_open_clip", save_open_clip),
        ("clip_transformers", save_transformers),
    ],
)
Save = Callable[[dict[str, Tensor], Path], Path]


def agrees(ours: Tensor, upstream: Tensor) -> bool:
    error = (F.normalize(ours, dim=1) - upstream).abs().max()
    return bool(error <= 1e-5 * (upstream.max() - upstream.min()))


@LAYOUTS
def test_outputs_equal_upstream(
    golden: str, save: Save, upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    model = load_clip(save(upstream_state(golden), tmp_path))
    assert isinstance(model, CLIP)
    assert model.image_resolution == 32
    assert agrees(model.vision(PIXELS), upstream_output(golden, "image"))
    assert agrees(model.encode_text(TOKENS), upstream_output(golden, "text"))


@LAYOUTS
def test_survives_conversion_to_native(
    golden: str, save: Save, upstream_state: State, tmp_path: Path
) -> None:
    model = load_clip(save(upstream_state(golden), tmp_path))
    native.save(model, tmp_path / "native.safetensors")
    again = load_clip(tmp_path / "native.safetensors")
    assert again.config == model.config
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


@LAYOUTS
def test_missing_surplus_and_misshapen_tensors_are_named(
    golden: str, save: Save, upstream_state: State, tmp_path: Path
) -> None:
    state = upstream_state(golden)
    key = next(key for key in state if "final" in key and key.endswith("bias"))
    for broken, message in (
        ({name: value for name, value in state.items() if name != key}, f"lacks.*'{key}'"),
        (state | {"surplus.bias": torch.zeros(3)}, "surplus tensor 'surplus.bias'"),
        (state | {key: torch.zeros(3)}, r"'text\.norm\.bias' of shape \(3,\)"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_clip(save(broken, tmp_path))


def test_half_precision_archive_is_widened(
    upstream_state: State, upstream_output: Output, tmp_path: Path
) -> None:
    state = {key: value.half() for key, value in upstream_state("clip_openai").items()}
    model = load_clip(save_openai_archive(state, tmp_path))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert torch.allclose(
        model.encode_text(TOKENS), upstream_output("clip_openai", "text"), atol=5e-3
    )


def test_archive_gives_the_tensors_that_went_in(upstream_state: State, tmp_path: Path) -> None:
    state = upstream_state("clip_openai")
    # A view with strides and an offset, as slices of a larger storage have.
    state["visual.proj"] = torch.arange(6000.0).view(2, 3000)[1:, 7:2055].view(16, 128).t()
    tensors = read_tensors(save_openai_archive(state, tmp_path))
    assert all(torch.equal(tensors[key], value) for key, value in state.items())


def test_preprocessing_comes_from_the_config_beside(upstream_state: State, tmp_path: Path) -> None:
    path = save_open_clip(upstream_state("clip_open_clip"), tmp_path)
    assert load_clip(path).config.mean == (0.5, 0.5, 0.5)
    path = save_transformers(upstream_state("clip_transformers"), tmp_path)
    preprocessing = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (path.parent / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    config = load_clip(path).config
    assert config.mean == (0.1, 0.2, 0.3) and config.std == (0.4, 0.5, 0.6)
    assert config.vision.activation == "gelu" and config.text.activation == "quick_gelu"


def test_folder_of_the_hub_loads(upstream_state: State, tmp_path: Path) -> None:
    save_transformers(upstream_state("clip_transformers"), tmp_path)
    assert isinstance(load_clip(tmp_path), CLIP)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"vision_config": 1}', "\x00"])
@pytest.mark.parametrize(
    ("golden", "save", "config"),
    [
        ("clip_open_clip", save_open_clip, "open_clip_config.json"),
        ("clip_transformers", save_transformers, "config.json"),
    ],
)
def test_missing_or_broken_config_is_an_error(
    golden: str, save: Save, config: str, content: str, upstream_state: State, tmp_path: Path
) -> None:
    path = save(upstream_state(golden), tmp_path)
    (tmp_path / config).unlink()
    if content is not None:
        (tmp_path / config).write_text(content)
    with pytest.raises(CheckpointError, match="config"):
        load_clip(path)


def test_clip_with_a_resnet_is_refused_by_name(tmp_path: Path) -> None:
    path = save_openai({"visual.layer1.0.conv1.weight": torch.zeros(4, 4, 1, 1)}, tmp_path)
    with pytest.raises(CheckpointError, match="ResNet"):
        load_clip(path)


class Bomb:
    """A pickle that would create the file `target` when read by a plain unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def pickle_bomb(folder: Path, state: dict[str, Tensor]) -> Path:
    (folder / "bomb.pt").write_bytes(pickle.dumps(Bomb(folder / "touched")))
    return folder / "bomb.pt"


def torch_bomb(folder: Path, state: dict[str, Tensor]) -> Path:
    torch.save({"visual.proj": Bomb(folder / "touched")}, folder / "bomb.pt")
    return folder / "bomb.pt"


def archive_bomb(folder: Path, state: dict[str, Tensor]) -> Path:
    path = save_openai_archive(state, folder)
    bomb = pickle.dumps(Bomb(folder / "touched"), protocol=2)
    rewrite(path, lambda name, content: bomb if name.endswith("/data.pkl") else content)
    return path


def code_bomb(folder: Path, state: dict[str, Tensor]) -> Path:
    """An archive with a storage that is missing and code that does not compile."""
    path = save_openai_archive(state, folder)
    rewrite(path, lambda name, content: b"!" if "/data/" in name or "/code/" in name else content)
    return path


def huge_archive(folder: Path, state: dict[str, Tensor]) -> Path:
    """A few bytes that claim, by a stride of zero, to be a large tensor."""
    path = folder / "huge.pt"
    storage = ("storage", torch.FloatStorage, "0", "cpu", 1)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return storage if value is storage else None

    class Rebuilt:
        def __reduce__(self) -> tuple[object, ...]:
            arguments = (storage, 0, (10**6, 10**6), (0, 0), False, {})
            return torch._utils._rebuild_tensor_v2, arguments

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(Rebuilt())
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("huge/data.pkl", buffer.getvalue())
        file.writestr("huge/data/0", b"\0\0\0\0")
        file.writestr("huge/code/__torch__.py", "")
    return path


def truncated_archive(folder: Path, state: dict[str, Tensor]) -> Path:
    path = save_openai_archive(state, folder)
    path.write_bytes(path.read_bytes()[:5000])
    return path


def truncated_file(folder: Path, state: dict[str, Tensor]) -> Path:
    path = save_openai(state, folder)
    path.write_bytes(path.read_bytes()[:5000])
    return path


def truncated_safetensors(folder: Path, state: dict[str, Tensor]) -> Path:
    path = save_open_clip(state, folder)
    path.write_bytes(path.read_bytes()[:20000])
    return path


def text_file(folder: Path, state: dict[str, Tensor]) -> Path:
    (folder / "clip.pt").write_text("404: Not Found")
    return folder / "clip.pt"


def empty_file(folder: Path, state: dict[str, Tensor]) -> Path:
    (folder / "clip.pt").touch()
    return folder / "clip.pt"


def empty_state(folder: Path, state: dict[str, Tensor]) -> Path:
    return save_openai({}, folder)


def other_state(folder: Path, state: dict[str, Tensor]) -> Path:
    return save_openai({"conv1.weight": torch.zeros(8, 3, 3, 3)}, folder)


def other_architecture(folder: Path, state: dict[str, Tensor]) -> Path:
    config = ArcFaceConfig(widths=(16,), units=(1,), embed_dim=4, input_size=2)
    native.save(ArcFace(config), folder / "native.safetensors")
    return folder / "native.safetensors"


def missing_file(folder: Path, state: dict[str, Tensor]) -> Path:
    return folder / "nothing.pt"


def empty_folder(folder: Path, state: dict[str, Tensor]) -> Path:
    return folder


@pytest.mark.parametrize(
    "make",
    [
        pickle_bomb,
        torch_bomb,
        archive_bomb,
        code_bomb,
        huge_archive,
        truncated_archive,
        truncated_file,
        truncated_safetensors,
        text_file,
        empty_file,
        empty_state,
        other_state,
        other_architecture,
        missing_file,
        empty_folder,
    ],
)
def test_broken_or_hostile_file_is_one_clear_error(
    make: Callable[[Path, dict[str, Tensor]], Path], upstream_state: State, tmp_path: Path
) -> None:
    path = make(tmp_path, upstream_state("clip_openai"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"\.$") as raised:
        load_clip(path)
    assert str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before
