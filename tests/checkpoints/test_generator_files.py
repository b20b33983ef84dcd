"""Generator files as people have them: read, or named for what they are."""

import pickle
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from styleclip_rt.checkpoints import load_clip, load_generator, load_identity, load_mapper, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.mapper import LevelsMapper, LevelsMapperConfig
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

from . import nvidia_pickle
from .test_rosinality import GOLDEN, assert_equal_to_upstream

NVIDIA = Path(__file__).parents[1] / "golden" / "stylegan2_nvidia"
OUTPUTS = load_file(GOLDEN / "outputs.safetensors")


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(GOLDEN / "checkpoint.pt", weights_only=True)
    return loaded


@pytest.mark.parametrize(
    "change",
    [
        lambda g, mean: {"g_ema": {f"module.{k}": v for k, v in g.items()}, "latent_avg": mean},
        lambda g, mean: {"g_ema": {k: v.numpy() for k, v in g.items()}, "latent_avg": mean.numpy()},
        lambda g, mean: {"g_ema": {k: v.double() for k, v in g.items()}, "latent_avg": mean},
        lambda g, mean: {"g_ema": g, "latent_avg": mean, "g_optim": {"state": {0: np.float64(3)}}},
        lambda g, mean: {
            "state_dict": {f"module.decoder.{k}": v for k, v in g.items()},
            "latent_avg": mean[None],
        },
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_other_ways_to_save_the_same_generator(
    change: Callable[[Any, Any], Any], zipped: bool, content: dict[str, Any], tmp_path: Path
) -> None:
    changed = change(content["g_ema"], content["latent_avg"])
    torch.save(changed, tmp_path / "g.pt", _use_new_zipfile_serialization=zipped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equal_to_upstream(load_generator(tmp_path / "g.pt"), OUTPUTS)


def test_only_g_is_read_and_said(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"g": content["g_ema"], "latent_avg": content["latent_avg"]}, tmp_path / "g.pt")
    with pytest.warns(UserWarning, match="no averaged generator"):
        assert_equal_to_upstream(load_generator(tmp_path / "g.pt"), OUTPUTS)


def test_a_bare_state_dict_gets_its_mean(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content["g_ema"], tmp_path / "g.pt")
    model = load_generator(tmp_path / "g.pt")
    image = model.synthesis(OUTPUTS["w"])
    torch.testing.assert_close(image, OUTPUTS["image_of_w_16"], rtol=1e-4, atol=1e-3)


def test_missing_noise_maps_are_drawn_the_same_way_every_time(
    content: dict[str, Any], tmp_path: Path
) -> None:
    g = {k: v for k, v in content["g_ema"].items() if not k.startswith("noises.")}
    torch.save({"g_ema": g, "latent_avg": content["latent_avg"]}, tmp_path / "g.pt")
    with pytest.warns(UserWarning, match="no noise maps"):
        model, again = (load_generator(tmp_path / "g.pt") for _ in range(2))
    noises = [value for key, value in model.state_dict().items() if key.endswith(".noise")]
    assert [tuple(noise.shape[2:]) for noise in noises] == [
        (4, 4),
        (8, 8),
        (8, 8),
        (16, 16),
        (16, 16),
    ]
    assert all(0.5 < noise.std() < 1.5 for noise in noises) and not noises[1].equal(noises[2])
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())
    silent = model.synthesis(OUTPUTS["w_plus"], noise="none")
    torch.testing.assert_close(
        silent, OUTPUTS["image_of_w_plus_without_noise"], rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("size", [8, 32, 64, 128])
def test_any_size_is_read(size: int, tmp_path: Path) -> None:
    ours = StyleGAN2(StyleGAN2Config.sized(size, channel_base=256, channel_max=4, latent_dim=4))
    native.save(ours, tmp_path / "ours.safetensors")
    again = load_generator(tmp_path / "ours.safetensors")
    w = torch.randn(1, 4)
    assert again.resolution == size and torch.equal(again.synthesis(w), ours.synthesis(w))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_generator_that_was_tuned_to_a_photograph(zipped: bool, tmp_path: Path) -> None:
    """PTI saves NVIDIA's whole generator by torch.save."""
    whole = nvidia_pickle.generator(load_file(NVIDIA / "weights.safetensors"))
    persistence = types.ModuleType("torch_utils.persistence")
    util = types.ModuleType("dnnlib.util")
    stand_ins = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"),
        "dnnlib.util": util,
    }
    function, kind = nvidia_pickle._reconstruct_persistent_obj, nvidia_pickle.EasyDict
    function.__module__, kind.__module__ = "torch_utils.persistence", "dnnlib.util"
    persistence._reconstruct_persistent_obj, util.EasyDict = function, kind  # type: ignore[attr-defined]
    sys.modules.update(stand_ins)
    try:
        torch.save(whole, tmp_path / "g.pt", _use_new_zipfile_serialization=zipped)
    finally:
        for name in stand_ins:
            del sys.modules[name]
    assert_equal_to_upstream(
        load_generator(tmp_path / "g.pt"), load_file(NVIDIA / "outputs.safetensors")
    )


def named(name: str) -> bytes:
    """A pickle of an object of the class `name`."""
    module, _, attribute = name.rpartition(".")
    return f"\x80\x02c{module}\n{attribute}\n)\x81}}b.".encode("latin-1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: path.write_bytes(b"\x80\x03" + named("dnnlib.tflib.network.Network")[2:]),
            "TensorFlow.*convert",
        ),
        (lambda path: torch.save(torch.nn.Linear(2, 2), path), "whole model.*state_dict"),
        (
            lambda path: torch.save(
                torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=False
            ),
            r"torch\.nn\.modules\.linear\.Linear.*state_dict",
        ),
        (lambda path: path.write_bytes(named("model.Generator")), r"model\.Generator.*state_dict"),
        (
            lambda path: torch.save(
                {"state_dict": {"encoder.input_layer.0.weight": torch.ones(1)}}, path
            ),
            "no generator",
        ),
    ],
)
def test_other_files_are_named_for_what_they_are(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "g.pkl")
    with pytest.raises(CheckpointError, match=message) as raised:
        load_generator(tmp_path / "g.pkl")
    assert "fetch it again" not in str(raised.value)


def test_a_stylegan3_is_named(tmp_path: Path) -> None:
    state = {
        "mapping.w_avg": torch.zeros(8),
        "mapping.fc0.weight": torch.zeros(8, 8),
        "synthesis.input.freqs": torch.zeros(8, 2),
        "synthesis.L0_36_8.weight": torch.zeros(8, 8, 3, 3),
    }
    nvidia_pickle.write({"G_ema": nvidia_pickle.generator(state)}, tmp_path / "g.pkl")
    with pytest.raises(CheckpointError, match=r"holds a StyleGAN3.*give a StyleGAN2"):
        load_generator(tmp_path / "g.pkl")


BAD = {
    "not finite": [lambda v: v * float("nan"), lambda v: v - float("inf")],
    "int32": [lambda v: v.int()],
    "complex64": [lambda v: v.to(torch.complex64)],
    "sparse": [lambda v: v.to_sparse()],
    "meta": [lambda v: v.to("meta")],
    "quantised": [lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8)],
    "bool": [lambda v: v > 0],
}


@pytest.mark.parametrize(("kind", "spoil"), [(k, f) for k, fs in BAD.items() for f in fs])
@pytest.mark.filterwarnings("ignore")
def test_a_weight_that_is_no_float_is_named(
    kind: str, spoil: Callable[[Tensor], Tensor], content: dict[str, Any], tmp_path: Path
) -> None:
    g = content["g_ema"]
    g["convs.1.conv.modulation.weight"] = spoil(g["convs.1.conv.modulation.weight"])
    for zipped in (True, False):
        try:
            torch.save(content, tmp_path / "g.pt", _use_new_zipfile_serialization=zipped)
        except (NotImplementedError, RuntimeError):
            continue
        with pytest.raises(CheckpointError, match=rf"{kind}.*") as raised:
            load_generator(tmp_path / "g.pt")
        assert "'convs.1.conv.modulation.weight'" in str(raised.value)


@pytest.mark.parametrize(
    ("model", "load", "key"),
    [
        (StyleGAN2(StyleGAN2Config((3, 3), 4, 1)), load_generator, "convs.1.bias"),
        (
            ArcFace(ArcFaceConfig((8,), (1,), reduction=2, embed_dim=4, input_size=8)),
            load_identity,
            "head_norm.running_var",
        ),
        (
            LevelsMapper(LevelsMapperConfig((1, 1, 2), latent_dim=4)),
            load_mapper,
            "nets.fine.layers.0.bias",
        ),
    ],
)
@pytest.mark.parametrize("spoil", [lambda v: v * float("nan"), lambda v: v.long()])
def test_weights_of_our_own_files_are_looked_at_too(
    model: Any, load: Any, key: str, spoil: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    state = model.state_dict()
    state[key] = spoil(state[key] + 1)
    architecture = native.architecture_of(model)
    native.write(state, tmp_path / "m.safetensors", architecture, asdict(model.config))
    with pytest.raises(CheckpointError, match=f"'{key}'"):
        load(tmp_path / "m.safetensors")


def test_a_clip_with_a_weight_that_is_not_finite_is_refused(
    upstream_state: Callable[[str], dict[str, Tensor]], tmp_path: Path
) -> None:
    state = upstream_state("clip_openai")
    state["ln_final.bias"][0] = float("inf")
    torch.save(state, tmp_path / "clip.pt")
    with (
        pytest.warns(UserWarning),
        pytest.raises(CheckpointError, match=r"'ln_final\.bias'.*not finite"),
    ):
        load_clip(tmp_path / "clip.pt")


def test_a_mapper_takes_its_size_from_its_decoder(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "mapper_styleclip"
    content = torch.load(golden / "levels.pt", weights_only=True)
    size = content["opts"].pop("stylegan_size")
    assert size == 64
    for level in range(4):
        content["state_dict"][f"decoder.to_rgbs.{level}.bias"] = torch.zeros(1, 3, 1, 1)
    torch.save(content, tmp_path / "m.pt")
    model = load_mapper(tmp_path / "m.pt")
    assert isinstance(model, LevelsMapper) and model.config.group_sizes == (4, 4, 2)
    content["opts"]["stylegan_size"] = 1024
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="1024 px, but has the decoder of another"):
        load_mapper(tmp_path / "m.pt")


def test_text_that_is_no_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"G": 1}))
    with pytest.raises(CheckpointError, match='without "G_ema"'):
        load_generator(tmp_path / "g.pkl")
