"""Manifests, export infos, mapper files' metadata and indices of strangers, by seeded mutation.

Whatever they say, a reader gives something sound or one sentence. STYLECLIP_RT_FUZZ says how many
tries each reader gets, STYLECLIP_RT_FUZZ_FROM at which number they begin.
"""

import copy
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from styleclip_rt import engines
from styleclip_rt.bundle import create, load_bundle, read_manifest, store
from styleclip_rt.checkpoints import mapper_file, native
from styleclip_rt.engines.export_info import KEY, ExportInfo, Port
from styleclip_rt.engines.tensorrt import Built, pack, unpack
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import PREFIX, sweep
from styleclip_rt.folders import cache_folder, exports_folder
from styleclip_rt.settings import EditSettings
from styleclip_rt.training.latent_dataset import FORMAT, Index, LatentDataset
from tests.tiny import tiny_bundle, tiny_prompt_mapper

TRIES = int(os.environ.get("STYLECLIP_RT_FUZZ", "1000"))
FIRST = int(os.environ.get("STYLECLIP_RT_FUZZ_FROM", "0"))

VALUES: list[Any] = [None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308]
VALUES += [
    float("nan"),
    float("inf"),
    "",
    ".",
    "..",
    "../../../owned",
    "/etc/passwd",
    "a/b",
    "a\\b",
]
VALUES += ["C:x", "a\0b", "a\nb", "\ud800", "x" * 10_000, "ffhq-mobile", "tiny", "s", "w+", "3"]
VALUES += [[], {}, [[]], {"a": {}}, ["a"], [1, 2], {"file": "x"}, {"name": "z", "shape": [1]}]

# Not what json.dumps makes: too deep, too long, twice, cut off, not UTF-8.
TEXTS = ["[" * 100_000, "9" * 5000, '{"name": 1, "name": 2}', "{", "", "\ufeff{}", "nan", '"', "\0"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from places(value[key])


def mutated(text: str, chance: random.Random) -> bytes:
    """A JSON text with a few values replaced, removed, moved or added; or spoilt as bytes."""
    kind = chance.random()
    if kind < 0.05:
        return chance.choice(TEXTS).encode()
    if kind < 0.2:
        spoilt = bytearray(text.encode())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(spoilt))
            spoilt[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        return bytes(spoilt)
    content = json.loads(text)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        found = list(places(content))
        if not found:
            break
        container, key = chance.choice(found)
        what = chance.random()
        if what < 0.7:
            container[key] = copy.deepcopy(chance.choice(VALUES))
        elif what < 0.8:
            other, name = chance.choice(found)
            container[key] = json.loads(json.dumps(other[name])) if name in ids(other) else None
        elif what < 0.9:
            del container[key]
        elif isinstance(container, dict):
            container[chance.choice(["x", "", "../x", "format", "name"])] = copy.deepcopy(
                chance.choice(VALUES)
            )
        else:
            container.append(copy.deepcopy(chance.choice(VALUES)))
    return json.dumps(content).encode()


def ids(container: Any) -> Any:
    return container if isinstance(container, dict) else range(len(container))


def fuzz(text: str, read: Callable[[bytes], object], tries: int = TRIES) -> None:
    """`read` mutations of `text`; it may raise nothing but a StyleClipError."""
    read(text.encode())
    refused = 0
    for number in range(FIRST, FIRST + tries):
        content = mutated(text, random.Random(number))
        try:
            read(content)
        except StyleClipError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"number {number}, {content[:300]!r}") from error
    assert tries // 10 < refused < tries


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a small bundle, in a cache of its own."""
    folder = tmp_path_factory.mktemp("bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLECLIP_RT_CACHE", str(folder / "cache"))
        parts = tiny_bundle()
        paths = {}
        for role in ("generator", "clip", "identity"):
            paths[role] = folder / f"{role}.safetensors"
            native.save(getattr(parts, role), paths[role])
        yield create("tiny", **paths)


def is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def test_manifests(bundle: Path, tmp_path: Path) -> None:
    def read(content: bytes) -> None:
        (tmp_path / "manifest.json").write_bytes(content)
        manifest = read_manifest(tmp_path)
        assert isinstance(manifest.settings, EditSettings)
        assert is_inside(exports_folder(manifest), cache_folder())
        for entry in manifest.files.values():
            assert is_inside(tmp_path / entry.file, tmp_path)
        assert read_manifest(tmp_path).to_json()

    fuzz((bundle / "manifest.json").read_text(), read)


def test_bundles(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()

    def read(content: bytes) -> None:
        (bundle / "manifest.json").write_bytes(content)
        store.list_bundles()
        assert load_bundle(bundle).settings

    try:
        fuzz(text, read, TRIES // 5)
    finally:
        (bundle / "manifest.json").write_text(text)


INFO = ExportInfo(
    "mapping",
    "tiny",
    "ab" * 32,
    "fp32",
    "portable",
    "0.1.0",
    "none",
    (Port("z", ("batch", 4)), Port("psi", ())),
    (Port("w", ("batch", 4)),),
    longest={"batch": 4},
    settings={"steps": 3, "space": "w+", "whiten": True},
    mapper="look",
    prompts=("red hair", "old"),
)


def checked(info: ExportInfo) -> None:
    assert is_inside(exports_folder(info.bundle), cache_folder())
    assert is_inside(Path("/there") / f"{info.mapper}.{info.network}.ts", Path("/there"))
    assert ExportInfo.from_json(info.to_json(), "again") == info


def torchscript(path: Path, content: bytes) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr(f"{source.namelist()[0].split('/')[0]}/extra/{KEY}.json", content)


def aotinductor(path: Path, content: bytes) -> None:
    known = {KEY: content.decode(errors="replace"), "AOTI_DEVICE_KEY": "cpu"}
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a/data/aotinductor/model/x_metadata.json", json.dumps(known))


def tensorrt(path: Path, content: bytes) -> None:
    whole = pack(INFO, Built("gpu", "1", "ab"), b"plan")
    path.write_bytes(content + b"\n" + whole.split(b"\n", 1)[1])


def onnx(path: Path, content: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto(ir_version=10)
    model.metadata_props.add(key=KEY, value=content.decode(errors="replace"))
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("suffix", "write"),
    [(".ts", torchscript), (".pt2", aotinductor), (".engine", tensorrt), (".onnx", onnx)],
)
def test_export_infos(
    tmp_path: Path, suffix: str, write: Callable[[Path, bytes], None], bundle: Path
) -> None:
    path = tmp_path / f"x{suffix}"

    def read(content: bytes) -> None:
        write(path, content)
        checked(engines.read_info(path))

    fuzz(INFO.to_json(), read)


@pytest.mark.parametrize("suffix", [".ts", ".pt2", ".engine", ".onnx"])
def test_bytes_of_exports(tmp_path: Path, suffix: str, bundle: Path) -> None:
    path = tmp_path / f"x{suffix}"
    writers = {".ts": torchscript, ".pt2": aotinductor, ".engine": tensorrt, ".onnx": onnx}
    writers[suffix](path, INFO.to_json().encode())
    whole = path.read_bytes()
    for number in range(FIRST, FIRST + TRIES):
        chance = random.Random(number)
        spoilt = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randint(0, 5)):
            at = chance.randrange(len(spoilt) + 1)
            spoilt[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        path.write_bytes(spoilt)
        try:
            checked(engines.read_info(path))
            if suffix == ".engine":
                unpack(path)
        except StyleClipError:
            pass
        except Exception as error:
            raise AssertionError(f"number {number}") from error


def test_mapper_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    mapper = tiny_prompt_mapper(tiny_bundle(), ("red hair", "old"))
    mapper_file.save(mapper, whole, mapper_file.Origin("tiny", "0123456789abcdef"))
    content = whole.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    weights = content[8 + length :]
    # Its config is JSON inside JSON: mutated as what it says.
    header["__metadata__"]["config"] = json.loads(header["__metadata__"]["config"])
    path = tmp_path / "x.safetensors"

    def read(text: bytes) -> None:
        try:
            content = json.loads(text)
            content["__metadata__"]["config"] = json.dumps(content["__metadata__"]["config"])
            text = json.dumps(content).encode()
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        path.write_bytes(len(text).to_bytes(8, "little") + text + weights)
        mapper, origin = mapper_file.load(path)
        assert all(isinstance(prompt, str) and prompt.isprintable() for prompt in mapper.prompts)
        assert is_inside(Path("/there") / origin.bundle, Path("/there"))

    fuzz(json.dumps(header), read)


def test_indices_of_data_sets(tmp_path: Path) -> None:
    index = Index("tiny", "0123456789abcdef", 16, 1, 1)
    content = {"format": FORMAT, **vars(index)}

    def read(text: bytes) -> None:
        (tmp_path / "index.json").write_bytes(text)
        try:
            LatentDataset(tmp_path, "val")
        except StyleClipError as error:
            if "val-00000.safetensors" not in str(error):  # no shards are here
                raise

    fuzz(json.dumps(content), read)


def test_journals(tmp_path: Path) -> None:
    """What a killed writer left may have been left by another."""
    (tmp_path / "precious").write_text("kept")
    folder = tmp_path / "out"

    def read(text: bytes) -> None:
        work = folder / f"{PREFIX}committed"
        work.mkdir(parents=True, exist_ok=True)
        (work / f"{PREFIX}journal").write_bytes(text)
        (work / "a.png").write_text("new")
        (work / "edit.json").write_text("new")
        sweep(folder)
        assert (tmp_path / "precious").read_text() == "kept"
        if work.exists():
            raise StyleClipError("it cannot be finished")
        if not (folder / "edit.json").exists():
            raise StyleClipError("it was none")

    fuzz('{"last": "edit.json", "gone": ["b.png", "precious", "frames/0.png"]}', read)
