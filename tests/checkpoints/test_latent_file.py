"""Latents as people have them: read for what they are, or refused in a sentence."""

import io
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from styleclip_rt.checkpoints.latent_file import read_latents, save_latents
from styleclip_rt.errors import CheckpointError

W_PLUS = np.random.default_rng(0).standard_normal((3, 18, 512)).astype(np.float32)


def to_npy(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, content, allow_pickle=True)


def to_npz(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, w=content)


def to_compressed(content: Any, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, content)


def to_torch(content: Any, path: Path) -> None:
    torch.save(torch.from_numpy(content), path)


def to_old_torch(content: Any, path: Path) -> None:
    torch.save(torch.from_numpy(content), path, _use_new_zipfile_serialization=False)


def to_dict(content: Any, path: Path) -> None:
    torch.save({"latent": torch.from_numpy(content), "noise": [torch.zeros(1, 1, 4, 4)]}, path)


def to_safetensors(content: Any, path: Path) -> None:
    save_file({"latent": content}, path)


WRITERS = [to_npy, to_npz, to_compressed, to_torch, to_old_torch, to_dict, to_safetensors]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("given", "expected", "space"),
    [
        (W_PLUS, W_PLUS, "w+"),
        (W_PLUS[:1], W_PLUS[:1], "w+"),
        (W_PLUS[0], W_PLUS[:1], "w+"),
        (W_PLUS[:, 0], W_PLUS[:, 0], "w"),
        (W_PLUS[:1, 0], W_PLUS[:1, 0], "w"),
        (W_PLUS[0, 0], W_PLUS[:1, 0], "w"),
        (W_PLUS.reshape(6, -1), W_PLUS.reshape(6, -1), "s"),
    ],
)
def test_every_format_gives_the_latents_that_went_in(
    write: Callable[[Any, Path], None], given: Any, expected: Any, space: str, tmp_path: Path
) -> None:
    write(np.ascontiguousarray(given), tmp_path / "latent")
    found = read_latents(tmp_path / "latent")
    assert (found.space, found.generator) == (space, "")
    assert found.latents.dtype == np.float32
    np.testing.assert_array_equal(found.latents, expected)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "latent.safetensors"
    for space, latents in (
        ("w+", W_PLUS),
        ("w", W_PLUS[:, 0]),
        ("s", W_PLUS[:, 0]),
        ("w", W_PLUS[0]),
    ):
        save_latents(path, latents, space, "0123456789abcdef", prompt="red hair")
        for found in (read_latents(path), read_latents(path.read_bytes())):
            assert (found.space, found.generator) == (space, "0123456789abcdef")
            np.testing.assert_array_equal(found.latents, latents)


def test_equal_latents_are_equal_files_that_the_umask_allows(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    mask = os.umask(0o022)
    try:
        for file in files:
            save_latents(file, W_PLUS, "w+", "f", prompt="x", seed="7", bundle="b", tool="t")
    finally:
        os.umask(mask)
    assert len({file.read_bytes() for file in files}) == 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}
    assert safetensors.torch.load_file(files[0])["latent"].shape == W_PLUS.shape


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_floats_of_any_width_are_cast(dtype: torch.dtype, suffix: str, tmp_path: Path) -> None:
    latent = torch.from_numpy(W_PLUS).to(dtype)
    if suffix == "pt":
        torch.save(latent, tmp_path / "latent")
    else:
        safetensors.torch.save_file({"latent": latent}, tmp_path / "latent")
    found = read_latents(tmp_path / "latent").latents
    np.testing.assert_array_equal(found, latent.float().numpy())


def test_every_code_of_a_byte_wide_float_is_its_value() -> None:
    for dtype, ml_dtype in (
        (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn),
        (torch.float8_e5m2, ml_dtypes.float8_e5m2),
    ):
        codes = np.arange(256, dtype=np.uint8)
        codes = codes[np.isfinite(codes.view(ml_dtype).astype(np.float32))]
        content = safetensors.torch.save({"latent": torch.from_numpy(codes).view(dtype)})
        np.testing.assert_array_equal(
            read_latents(content).latents[0], codes.view(ml_dtype).astype(np.float32)
        )


def test_arrays_by_columns_are_read_by_rows(tmp_path: Path) -> None:
    to_npy(np.asfortranarray(W_PLUS.astype(">f8")), tmp_path / "latent")
    np.testing.assert_array_equal(read_latents(tmp_path / "latent").latents, W_PLUS)


def test_dicts_of_faces_are_stacked(tmp_path: Path) -> None:
    faces = {f"{i}.png": torch.from_numpy(w) for i, w in enumerate(W_PLUS)}
    torch.save(faces, tmp_path / "e4e.pt")
    torch.save({k: {"img": torch.zeros(3), "latent": w} for k, w in faces.items()}, tmp_path / "r")
    torch.save([w[None] for w in faces.values()], tmp_path / "list")
    for name in ("e4e.pt", "r", "list"):
        np.testing.assert_array_equal(read_latents(tmp_path / name).latents, W_PLUS)


def test_a_list_of_styles_is_style_space(tmp_path: Path) -> None:
    styles = [torch.randn(2, channels) for channels in (512, 512, 256, 3)]
    for name, content in (
        ("ours", styles),
        ("theirs", [s[:, None, :, None, None] for s in styles]),
    ):
        torch.save(content, tmp_path / name)
        found = read_latents(tmp_path / name)
        assert found.space == "s"
        np.testing.assert_array_equal(found.latents, torch.cat(styles, 1).numpy())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((18, 512), np.int64), "floats"),
        (np.zeros((18, 512), np.complex64), "floats"),
        (np.zeros((18, 512), bool), "floats"),
        (np.where(W_PLUS > 3, np.nan, W_PLUS), "not finite"),
        (np.where(W_PLUS > 3, -np.inf, W_PLUS), "not finite"),
        (np.full((18, 512), 1e300), "not finite"),
        (np.zeros((0, 18, 512), np.float32), "no latent"),
        (np.zeros((1, 1, 18, 512), np.float32), "no latent"),
        (np.zeros((), np.float32), "no latent"),
    ],
)
def test_what_is_no_latent_is_refused_in_a_sentence(
    write: Callable[[Any, Path], None], content: Any, message: str, tmp_path: Path
) -> None:
    try:
        write(content, tmp_path / "latent")
    except (KeyError, safetensors.SafetensorError):
        pytest.skip("the format has no such numbers")
    with pytest.raises(CheckpointError, match=message) as raised:
        read_latents(tmp_path / "latent")
    assert str(tmp_path / "latent") in str(raised.value) and str(raised.value).endswith(".")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def hostile(folder: Path) -> dict[str, bytes]:
    """Files that are no latents, or would take more than they hold."""
    bomb = Bomb(folder / "touched")
    torch_bomb, object_array, lying, zeros = (io.BytesIO() for _ in range(4))
    torch.save({"latent": bomb}, torch_bomb)
    np.save(object_array, np.array([bomb], dtype=object), allow_pickle=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 18, 512)}
    np.lib.format.write_array_header_1_0(lying, header)  # type: ignore[arg-type]
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", lying.getvalue() + bytes(10**9 // 8))
    plain = io.BytesIO()
    np.save(plain, W_PLUS)
    return {
        "nothing": b"",
        "text": b"<html>",
        "pickle": pickle.dumps(bomb),
        "torch": torch_bomb.getvalue(),
        "objects": object_array.getvalue(),
        "claim": lying.getvalue(),
        "bomb": zeros.getvalue(),
        "cut": plain.getvalue()[:-5],
        "header": b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 60000,
        "version": b"\x93NUMPY\x09\x09",
        "json": (2000).to_bytes(8, "little") + b"{" * 2000,
        "zip": b"PK\x03\x04" + bytes(22) + b"\x05\x00\x00\x00w.npy",
        "other": safetensors.torch.save({"a": torch.zeros(3), "b": torch.zeros(4)}),
        "space": safetensors.torch.save({"latent": torch.zeros(3, 4)}, {"space": "y"}),
        "model": safetensors.torch.save({"constant": torch.zeros(4)}, {"architecture": "clip"}),
        "styles": safetensors.torch.save({"latent": torch.zeros(3, 4, 5)}, {"space": "s"}),
    }


def test_hostile_files_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    for name, content in hostile(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as raised:
            read_latents(path)
        assert str(path) in str(raised.value) and str(raised.value).endswith("."), name
        assert "\n" not in str(raised.value), name
        with pytest.raises(CheckpointError):
            read_latents(content)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(CheckpointError, match="No such file"):
        read_latents(tmp_path / "missing")


def test_metadata_that_is_null_says_nothing() -> None:
    header = b'{"__metadata__":null,"latent":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    found = read_latents(len(header).to_bytes(8, "little") + header + bytes(8))
    assert (found.space, found.generator, found.latents.shape) == ("w", "", (1, 2))


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "latent.safetensors"
    save_latents(path, W_PLUS, "w+", "f")
    before = path.read_bytes()
    for latents, space in ((W_PLUS * np.nan, "w+"), (W_PLUS, "s"), (W_PLUS, "x")):
        with pytest.raises(CheckpointError):
            save_latents(path, latents, space, "f")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_needs_torch_for_torch_files_only(tmp_path: Path) -> None:
    to_npz(W_PLUS, tmp_path / "latent.npz")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from styleclip_rt.checkpoints.latent_file import read_latents, save_latents\n"
        "latents = read_latents(sys.argv[1]).latents\n"
        "save_latents(sys.argv[2], latents, 'w+', '')\n"
        "print(read_latents(sys.argv[2]).latents.shape)"
    )
    command = [sys.executable, "-c", program, tmp_path / "latent.npz", tmp_path / "l.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "(3, 18, 512)\n", done.stderr
