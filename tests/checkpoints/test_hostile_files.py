"""Broken and hostile files: every reader says one clear sentence and touches nothing."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from styleclip_rt.checkpoints import load_clip, load_generator, load_identity, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

from .nvidia_pickle import Module, write

Load = Callable[[Path], nn.Module]

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan2_rosinality" / "checkpoint.pt"


class Bomb:
    """A pickle that would create the folder `target` when read by a plain unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def pickle_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps({"G_ema": Bomb(path.parent / "touched")}))


def old_pickle_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.parent / "touched"), protocol=0))


def zip_bomb(path: Path) -> None:
    torch.save({"g_ema": {"conv1.conv.weight": Bomb(path.parent / "touched")}}, path)


def legacy_bomb(path: Path) -> None:
    torch.save(Bomb(path.parent / "touched"), path, _use_new_zipfile_serialization=False)


def storage_bomb(path: Path) -> None:
    """A pickle whose tensor data is another pickle, which upstream would read unguarded."""
    inner = path.parent / "inner.pt"
    torch.save(Bomb(path.parent / "touched"), inner, _use_new_zipfile_serialization=False)
    generator = Module("Generator")
    generator.tensors["_buffers"]["x"] = _Call(  # type: ignore[assignment]
        torch._utils._rebuild_tensor_v2,
        _Call(torch.storage._load_from_bytes, inner.read_bytes()),
        0,
        (1,),
        (1,),
        False,
        None,
    )
    inner.unlink()
    write({"G_ema": generator}, path)


class _Call:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def truncated_zip(path: Path) -> None:
    path.write_bytes(GOLDEN.read_bytes()[:5000])


def truncated_legacy(path: Path) -> None:
    torch.save(torch.load(GOLDEN, weights_only=True), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-3000])


def truncated_pickle(path: Path) -> None:
    write({"G_ema": Module("Generator")}, path)
    path.write_bytes(path.read_bytes()[:-30])


def truncated_native(path: Path) -> None:
    native.save(StyleGAN2(StyleGAN2Config((3, 3), latent_dim=4, n_mlp=1)), path)
    path.write_bytes(path.read_bytes()[:-8])


def text(path: Path) -> None:
    path.write_text("<html>Too many users have viewed this file</html>\n")


def empty(path: Path) -> None:
    path.touch()


def directory(path: Path) -> None:
    path.mkdir()


def missing(path: Path) -> None:
    return


def broken_graph(path: Path) -> None:
    path.mkdir()
    for name in ("MappingNetwork", "SynthesisNetwork"):
        (path / name).with_suffix(".xml").write_text("<net><layers/><edges/></net>")
        (path / name).with_suffix(".bin").touch()


def other_tensors(path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, path)


def other_safetensors(path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3)}, path)


def other_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps([1, 2, {"three": 4.0}]))


def tensorflow_pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x03cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01.")


LOADERS = [load_generator, load_clip, load_identity]
FILES = [
    pickle_bomb,
    old_pickle_bomb,
    zip_bomb,
    legacy_bomb,
    storage_bomb,
    truncated_zip,
    truncated_legacy,
    truncated_pickle,
    truncated_native,
    text,
    empty,
    directory,
    missing,
    broken_graph,
    other_tensors,
    other_safetensors,
    other_pickle,
    tensorflow_pickle,
]


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("make", FILES)
def test_one_clear_sentence_and_no_side_effect(
    make: Callable[[Path], None], load: Load, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError) as raised:
        load(path)
    message = str(raised.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    assert sorted(tmp_path.rglob("*")) == before


def test_the_bombs_are_live(tmp_path: Path) -> None:
    for make in (pickle_bomb, old_pickle_bomb):
        make(tmp_path / "bomb")
        pickle.loads((tmp_path / "bomb").read_bytes())
        (tmp_path / "touched").rmdir()
    for make in (zip_bomb, legacy_bomb):
        make(tmp_path / "bomb")
        torch.load(tmp_path / "bomb", weights_only=False)
        (tmp_path / "touched").rmdir()


@pytest.mark.parametrize("load", [load_clip, load_identity])
def test_a_generator_is_no_other_network(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    native.save(StyleGAN2(StyleGAN2Config((3, 3), latent_dim=4, n_mlp=1)), path)
    for file in (path, GOLDEN):
        with pytest.raises(CheckpointError):
            load(file)


@pytest.mark.parametrize(
    ("opcodes", "reason"),
    [
        (b"\x80\x02cos\nmkdir\n(X\x01\x00\x00\x00xtR.", "names os.mkdir"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "names builtins.eval"),
        (
            b"\x80\x02ctorch.storage\n_load_from_bytes.system\n.",
            "names torch.storage._load_from_bytes.system",
        ),
        (b"\x80\x02ctorch\nload\n.", "names torch.load"),
        (b"\x80\x02\x82\x01.", "pickle"),  # an extension code
        (b"\x80\x02U\x01xQ.", "pickle"),  # a persistent id
        # Setting an attribute on a name that other pickles would meet again.
        (b"\x80\x02cnumpy\ndtype\n(N}X\x01\x00\x00\x00xX\x01\x00\x00\x00ystb.", "pickle"),
        (
            b"\x80\x02ccollections\nOrderedDict\n(N}X\x01\x00\x00\x00xX\x01\x00\x00\x00ystb.",
            "pickle",
        ),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "pickle"),  # a memo index that would take 64 GB
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "pickle"),  # a byte string of 8 EB
        (b"\x80\x04" + b"]" * 100_000, "pickle"),
    ],
)
def test_no_opcode_escapes(opcodes: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "g.pkl"
    path.write_bytes(opcodes)
    with pytest.raises(CheckpointError, match=reason):
        load_generator(path)
    assert not hasattr(dict, "x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x04", b"\x80\x02"]), rest=st.binary())
def test_noise_is_refused(start: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(start + rest)
    for load in LOADERS:
        with pytest.raises(CheckpointError):
            load(path)
