"""Exports of a tiny bundle: what they compute, what they say of themselves, how they fail."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from styleclip_rt import engines
from styleclip_rt.bundle import Bundle
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.networks import Network
from styleclip_rt.export.onnx import OPSET, export_onnx
from styleclip_rt.export.table import TABLE, build
from styleclip_rt.export.torchscript import export_torchscript
from styleclip_rt.export.verification import Report, verify
from styleclip_rt.models.clip import CLIP, VisionTransformerConfig
from styleclip_rt.models.looks import LookDirections
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from styleclip_rt.ops import _library
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.exported_edits import GRAPHS
from tests.export.archives import of_version, rewritten
from tests.export.tensorrt_operators import check_tensorrt_takes
from tests.tiny import tiny_bundle

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return tiny_bundle(id=0.3, preserve=8.0, across=0.1, views=3, clip_target=0.65)


@pytest.fixture(scope="module")
def exports(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All networks of a bundle; each is verified as it is made."""
    folder = tmp_path_factory.mktemp("exports")
    for name in TABLE:
        report = export_onnx(build(bundle, name), bundle.name, folder / f"{name}.onnx")
        assert report.passed
    return folder


def test_every_graph_has_standard_operators_only_and_says_what_it_is(exports: Path) -> None:
    for name in TABLE:
        model = onnx.load(exports / f"{name}.onnx")
        onnx.checker.check_model(model)
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
        (text,) = [entry.value for entry in model.metadata_props if entry.key == "styleclip_rt"]
        assert json.loads(text)["network"] == name


def test_tensorrt_takes_every_operator(exports: Path) -> None:
    for path in exports.glob("*.onnx"):
        check_tensorrt_takes(path)


def test_the_batch_is_free(bundle: Bundle, exports: Path) -> None:
    engine = engines.load(exports / "synthesis.onnx")
    w_plus = torch.randn(5, 11, 16)
    found = engine({"w_plus": w_plus.numpy()})["image"]
    torch.testing.assert_close(
        torch.from_numpy(found), bundle.generator.synthesis(w_plus), atol=1e-4, rtol=1e-4
    )


def test_several_faces_move_as_each_would_alone(bundle: Bundle, exports: Path) -> None:
    engine, network = engines.load(exports / "edit_step.onnx"), build(bundle, "edit_step")
    both = dict(
        zip(
            (port.name for port in network.inputs),
            (x.numpy() for x in network.sample(2, torch.Generator().manual_seed(0))),
            strict=True,
        )
    )
    second = {
        port.name: both[port.name][1:] if "batch" in port.shape else both[port.name]
        for port in network.inputs
    }
    together, alone = engine(both), engine(second)
    np.testing.assert_allclose(together["next_offset"][1:], alone["next_offset"], atol=1e-5)
    np.testing.assert_allclose(together["losses"][:, 1:], alone["losses"], atol=1e-5)


def test_an_edit_without_torch_is_that_of_the_editor(bundle: Bundle, exports: Path) -> None:
    expected = Editor(bundle, device="cpu", precision="fp32").edit("red hair", seed=3, steps=50)
    found = Editor(engine="onnxruntime", exports=exports).edit("red hair", seed=3, steps=50)
    assert len(found.history) == 50
    difference = np.abs(expected.latent.numpy() - found.latent)
    assert difference.max() < 1e-2
    assert difference.mean() < 1e-3
    for name in ("total", "clip", "id", "l2", "preserve", "across", "lr"):
        assert found.history[0][name] == pytest.approx(expected.history[0][name], abs=1e-4)
    pixels = [np.asarray(result.image, np.float32) for result in (expected, found)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 1


@pytest.mark.parametrize("start", ["--seed=3", "--mean", "--latent"])
def test_an_edit_without_torch_imports_none(exports: Path, tmp_path: Path, start: str) -> None:
    script = (
        "import sys; from styleclip_rt.cli import cli; "
        "cli.main(sys.argv[1:], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    if start == "--latent":
        save_file({"latent": np.ones((1, 16), np.float32)}, tmp_path / "latent.safetensors")
        start = f"--latent={tmp_path / 'latent.safetensors'}"
    arguments = ["edit", "red hair", "--engine=onnxruntime", f"--exports={exports}", start]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, f"--out={tmp_path / 'out'}", "--frames=2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(tmp_path / "out")) for path in tmp_path.glob("out/**/*.*")}
    assert {"comparison.png", "latent.safetensors", "frames/0000.png", "frames/0001.png"} <= found


def test_an_edit_with_torchscript_is_that_of_the_editor(bundle: Bundle, tmp_path: Path) -> None:
    for name in GRAPHS:
        path = tmp_path / f"{name}.fused.ts"
        export_torchscript(build(bundle, name), bundle.name, path, fused=_library.load())
    editor = Editor(bundle, engine="torchscript", exports=tmp_path)
    found = editor.edit("red hair", seed=3, steps=3)
    expected = Editor(bundle, device="cpu", precision="fp32").edit("red hair", seed=3, steps=3)
    np.testing.assert_allclose(found.latent, expected.latent, rtol=1e-3, atol=1e-3)


def test_a_batch_without_torch_is_the_single_edits(bundle: Bundle, exports: Path) -> None:
    editor = Editor(engine="onnxruntime", exports=exports)
    batch = editor.edit_many(["red hair", "old"], seeds=[1, 2])
    for result, (prompt, seed) in zip(batch, (("red hair", 1), ("old", 2)), strict=True):
        np.testing.assert_allclose(result.latent, editor.edit(prompt, seed=seed).latent, atol=1e-5)
    mean = editor.engine.networks.mean_latent()
    np.testing.assert_allclose(mean, bundle.generator.mean_latent, atol=1e-6)


def test_settings_that_are_built_in_cannot_change(exports: Path) -> None:
    editor = Editor(engine="onnxruntime", exports=exports)
    with pytest.raises(StyleClipError, match="views is built into the exported step as 3"):
        editor.edit("red hair", views=2)
    with pytest.raises(StyleClipError, match="space is built into the exported step as 'w\\+'"):
        editor.edit("red hair", space="z")
    with pytest.raises(StyleClipError, match=r"\[1, 16\] or \[1, 11, 16\]"):
        editor.edit("red hair", latent=np.zeros((1, 5, 16), np.float32))
    with pytest.raises(StyleClipError, match="precision of exported files was chosen"):
        Editor(engine="onnxruntime", exports=exports, precision="bf16")
    with pytest.raises(StyleClipError, match="unknown engine 'steam': choose from torch, onnx"):
        Editor(engine="steam", exports=exports)


def test_half_precision_is_near(bundle: Bundle, tmp_path: Path) -> None:
    network = build(bundle, "mapping")
    report = export_onnx(network, bundle.name, tmp_path / "mapping.onnx", "fp16")
    assert report.passed
    types = {x.data_type for x in onnx.load(tmp_path / "mapping.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    with pytest.raises(StyleClipError, match="takes a gradient"):
        export_onnx(build(bundle, "edit_step"), "tiny", tmp_path / "step.onnx", "fp16")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", TABLE)
def test_torchscript(bundle: Bundle, tmp_path: Path, name: str, fused: bool) -> None:
    path = tmp_path / f"{name}.ts"
    report = export_torchscript(build(bundle, name), bundle.name, path, fused=fused)
    assert report.passed
    operators = str(torch.jit.load(str(path)).inlined_graph)
    if not fused:
        assert "styleclip_rt::" not in operators
    elif name in ("clip_image", "identity", "edit_step"):
        assert "styleclip_rt::area_resample" in operators


@pytest.mark.parametrize("name", ["synthesis", "edit_step"])
def test_stylegan2_and_a_vision_transformer_too(bundle: Bundle, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config.sized(32, channel_max=16, latent_dim=16))
    vision = VisionTransformerConfig(patch_size=8, width=16, layers=1, heads=2)
    clip = CLIP(dataclasses.replace(bundle.clip.config, vision=vision)).requires_grad_(False)
    network = build(dataclasses.replace(bundle, generator=generator, clip=clip.eval()), name)
    assert export_onnx(network, "tiny", tmp_path / f"{name}.onnx").passed
    check_tensorrt_takes(tmp_path / f"{name}.onnx")
    for fused in (False, True):
        assert export_torchscript(network, "tiny", tmp_path / f"{name}.ts", fused=fused).passed


@pytest.mark.skipif(not _library.load(), reason="needs the compiled ops")
def test_a_fused_file_for_other_compiled_ops_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "clip_image.ts"
    export_torchscript(build(bundle, "clip_image"), bundle.name, path, fused=True)
    older = of_version(path, "0.0.0", tmp_path / "older.ts")
    with pytest.raises(ExportError, match=r"ops of version 0\.0\.0, but here are those"):
        engines.load(older)
    name = "styleclip_rt.area_resample"
    unknown = rewritten(path, name, f"{name}_of_tomorrow", tmp_path / "unknown.ts")
    with pytest.raises(ExportError, match="compiled ops that this installation lacks or has in an"):
        engines.load(unknown)


def test_another_network_is_noticed(bundle: Bundle, exports: Path) -> None:
    other = tiny_bundle()
    with torch.no_grad():
        other.generator.mean_latent.add_(1)
    with pytest.raises(ExportError, match="other weights"):
        verify(build(other, "mapping"), exports / "mapping.onnx")


def test_other_directions_of_looks_are_noticed(bundle: Bundle, exports: Path) -> None:
    directions = LookDirections(["old"], torch.zeros(1, 16), torch.zeros(1), torch.zeros(1, 16))
    other = dataclasses.replace(bundle, look_directions=directions)
    with pytest.raises(ExportError, match="other weights"):
        verify(build(other, "edit_start"), exports / "edit_start.onnx")


def test_a_wrong_file_is_not_kept(bundle: Bundle, tmp_path: Path) -> None:
    network = build(bundle, "mapping")
    path = tmp_path / "mapping.ts"
    path.write_bytes(b"what was there before")

    class Drifting(torch.nn.Module):
        """Once traced, a constant of another call."""

        def forward(self, z: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
            drift = 0.0 if torch.jit.is_tracing() else 1.0
            return network.module(z, psi) + drift

    wrong: Network = dataclasses.replace(network, module=Drifting())
    with pytest.raises(ExportError, match="misses its bounds"):
        export_torchscript(wrong, bundle.name, path)
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_a_full_disk_leaves_nothing(
    bundle: Bundle, tmp_path: Path, export: Callable[..., Report]
) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ExportError, match="choose a folder that has space"):
            export(build(bundle, "mapping"), bundle.name, tmp_path / "mapping.ts")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage"])
@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_broken_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"mapping{suffix}"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"export it again|of this version made"):
        engines.load(path)


def test_a_truncated_onnx(exports: Path, tmp_path: Path) -> None:
    whole = (exports / "mapping.onnx").read_bytes()
    (tmp_path / "mapping.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match="cannot be loaded by ONNX Runtime"):
        engines.load(tmp_path / "mapping.onnx")


def test_bad_inputs_name_what_is_taken(exports: Path) -> None:
    engine = engines.load(exports / "mapping.onnx")
    psi = np.array(1, np.float32)
    with pytest.raises(ExportError, match="mapping takes z, psi"):
        engine({"z": np.zeros((1, 16), np.float32)})
    with pytest.raises(ExportError, match=r"takes z as float32 \[batch, 16\]"):
        engine({"z": np.zeros((1, 15), np.float32), "psi": psi})


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is not a file"):
        engines.load(tmp_path / "none.onnx")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ExportError, match="no suffix of an exported file"):
        engines.load(tmp_path / "a.txt")
    with pytest.raises(ExportError, match=r"clip_text.onnx is missing"):
        Editor(engine="onnxruntime", exports=tmp_path)


def test_unknown_names(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(StyleClipError, match="unknown network 'hat': choose from mapping"):
        build(bundle, "hat")
    with pytest.raises(StyleClipError, match="unknown precision 'fp7'"):
        export_torchscript(build(bundle, "mapping"), "tiny", tmp_path / "m.ts", "fp7")
    with pytest.raises(StyleClipError, match="space s cannot be exported"):
        build(tiny_bundle(space="s"), "edit_step")
    assert set(GRAPHS) <= set(TABLE)
