"""Exports of mappers of every form, alone and with the generator."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from styleclip_rt import engines
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.cli.export import verify
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.table import build, networks
from styleclip_rt.export.torchscript import export_torchscript
from styleclip_rt.models.mapper import (
    LevelsMapper,
    LevelsMapperConfig,
    PromptMapper,
    PromptMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)
from styleclip_rt.runtime.mapper import MapperRuntime, Move
from tests.export.tensorrt_operators import check_tensorrt_takes
from tests.tiny import tiny_bundle

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

BUNDLE = tiny_bundle()
PROMPTS = ("red hair", "blond hair", "old")


def prompt_mapper() -> PromptMapper:
    config = PromptMapperConfig(11, (2, 4), PROMPTS, 8, 16, face_dim=4, hidden=8, rank=2)
    mapper = PromptMapper(config)
    with torch.no_grad():
        for tensor in (*mapper.parameters(), *mapper.buffers()):
            if tensor.is_floating_point():
                tensor.normal_(std=0.3)
        mapper.texts.copy_(BUNDLE.clip.encode_text(torch.ones(3, 77, dtype=torch.long).cumsum(0)))
    return mapper


def levels_mapper() -> LevelsMapper:
    return LevelsMapper(LevelsMapperConfig((4, 4, 3), ("coarse", "fine"), 16))


def style_space_mapper() -> StyleSpaceMapper:
    channels = tuple(x.shape[1] for x in BUNDLE.generator.styles(torch.zeros(1, 11, 16)))
    return StyleSpaceMapper(StyleSpaceMapperConfig(channels, (0, 3)))


@pytest.fixture(params=[prompt_mapper, levels_mapper, style_space_mapper], ids=lambda f: f.__name__)
def mapper(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The file of a mapper."""
    torch.manual_seed(0)
    path = tmp_path / "look.safetensors"
    mapper_file.save(request.param().eval().requires_grad_(False), path, mapper_file.Origin())
    return str(path)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_form_as_onnx_and_torchscript(mapper: str, tmp_path: Path, precision: str) -> None:
    names = networks(BUNDLE, mapper)
    takes_text = isinstance(mapper_file.load(mapper)[0], PromptMapper)
    assert ("mapper_text" in names) == takes_text
    for name in names:
        network = build(BUNDLE, name, mapper)
        assert export_onnx(network, "tiny", tmp_path / f"{name}.onnx", precision).passed
        check_tensorrt_takes(tmp_path / f"{name}.onnx")
        for fused in (False, True):
            path = tmp_path / f"{name}.{fused}.ts"
            assert export_torchscript(network, "tiny", path, precision, fused).passed


def test_a_file_does_what_the_runtime_does(mapper: str, tmp_path: Path) -> None:
    path = tmp_path / "mapper.onnx"
    export_onnx(build(BUNDLE, "mapper", mapper), "tiny", path)
    runtime = MapperRuntime(BUNDLE, {"look": Path(mapper)})
    w_plus = runtime.start([1, 2])
    engine = engines.load(path)
    inputs = {"w_plus": w_plus.numpy(), "strength": np.array([0.5, 0.5], np.float32)}
    prompt = ""
    if engine.info.prompts:
        prompt = engine.info.prompts[1]
        inputs["prompt"] = np.array([1, 1])
    (found,) = engine(inputs).values()
    expected = runtime.latents(w_plus, [Move("look", prompt, 0.5)])
    if not isinstance(expected, torch.Tensor):
        expected = torch.cat(expected, dim=1)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)


def test_a_file_says_whose_mapper_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "look.safetensors"
    mapper_file.save(prompt_mapper(), path, mapper_file.Origin())
    export_torchscript(build(BUNDLE, "mapper", str(path)), "tiny", tmp_path / "mapper.ts")
    info = engines.load(tmp_path / "mapper.ts").info
    assert (info.mapper, info.prompts) == ("look", PROMPTS)


def test_what_a_mapper_cannot_be() -> None:
    with pytest.raises(StyleClipError, match="say of which with --mapper"):
        build(BUNDLE, "mapper")
    with pytest.raises(StyleClipError, match="there is no mapper 'hat'"):
        build(BUNDLE, "mapper", "hat")
    with pytest.raises(StyleClipError, match="was trained for the generator of the bundle"):
        build(BUNDLE, "mapper", "smiling")


def test_verify_takes_the_mapper_of_a_file(
    mapper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mapper.ts"
    export_torchscript(build(BUNDLE, "mapper", mapper), "tiny", path)
    monkeypatch.setattr("styleclip_rt.bundle.load_bundle", lambda name: BUNDLE)
    done = CliRunner().invoke(verify, [str(path), "--mapper", mapper], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "mapper.ts" in done.output
