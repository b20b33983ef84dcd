"""Files that ask for far more memory or time than their bytes are worth."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

MEGA = 1 << 20


def zipped(pickled: bytes, **more: bytes) -> bytes:
    """A zip archive of PyTorch's with this data.pkl."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a/data.pkl", pickled)
        for name, content in more.items():
            file.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def storage(key: str, numel: int) -> bytes:
    """Opcodes that push a storage."""
    name = key.encode()
    number = b"\x8a\x08" + numel.to_bytes(8, "little")
    head = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<I", len(name)) + name
    return head + b"X\x03\x00\x00\x00cpu" + number + b"tQ"


def tensor(pushed: bytes, size: int, stride: int = 1) -> bytes:
    """Opcodes that push a tensor [size] of a pushed storage."""
    numbers = (
        b"\x8a\x08" + size.to_bytes(8, "little") + b"\x85\x8a\x08" + stride.to_bytes(8, "little")
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + pushed + b"K\x00" + numbers + b"\x85\x89NtR"


def memo(size: int) -> bytes:
    """A memo index for which the C unpickler takes gigabytes."""
    return b"\x80\x02}r" + struct.pack("<I", size) + b"."


def shared_modules(levels: int, width: int) -> bytes:
    """Modules that contain one another so that their tree has width ** levels leaves."""
    parts = [b"\x80\x02c__torch__\nM\nq\x00)\x81}X\x01\x00\x00\x00xK\x01sb"]
    for level in range(levels):
        index = bytes([level + 1])
        items = b"".join(
            b"X\x02\x00\x00\x00" + f"{i:02}".encode() + b"h" + index for i in range(width)
        )
        parts.append(b"q" + index + b"0h\x00)\x81}(" + items + b"ub")
    return b"".join(parts) + b"."


def one_storage_often(times: int) -> bytes:
    """A dict of many tensors that all share one storage of a million numbers."""
    items = b"".join(
        b"X\x05\x00\x00\x00" + f"{i:05}".encode() + tensor(storage("0", MEGA), MEGA)
        for i in range(times)
    )
    return zipped(b"\x80\x02}(" + items + b"u.", a__data__0=bytes(4 * MEGA))


def doubled_lists() -> bytes:
    """A list of which each level holds the one below twice, as the name of a storage."""
    nest = b"]q\x00" + b"".join(
        b"0](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
    )
    return zipped(
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        + nest
        + b"X\x03\x00\x00\x00cpuK\x01tQ."
    )


def sets_of_one_list() -> bytes:
    """A hundred thousand sets, each of the same list of a million."""
    items = b"(" + b"K\x01" * MEGA + b"lq\x000"
    return b"\x80\x02" + items + b"(" + b"cbuiltins\nset\nh\x00\x85R" * 100_000 + b"t."


def arrays_of_one_text() -> bytes:
    """Many NumPy arrays of the same ten million bytes."""
    data = b"B" + struct.pack("<I", 10 * MEGA) + bytes(10 * MEGA) + b"q\x000"
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85Rq\x010"
    size = b"\x8a\x04" + (10 * MEGA // 4).to_bytes(4, "little") + b"\x85"
    one = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + size + b"h\x01\x89h\x00tb"
    return zipped(b"\x80\x02" + data + kind + b"(" + one * 3000 + b"l.")


def nested_storages() -> bytes:
    """NVIDIA's form, with one storage loaded a hundred thousand times."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(MEGA).untyped_storage(), buffer, _use_new_zipfile_serialization=False)
    inner = b"B" + struct.pack("<I", len(buffer.getvalue())) + buffer.getvalue() + b"q\x000"
    return (
        b"\x80\x03"
        + inner
        + b"("
        + b"ctorch.storage\n_load_from_bytes\nh\x00\x85R" * 100_000
        + b"l."
    )


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def native(architecture: str, **config: object) -> bytes:
    """A file of ours with a config that asks for a large network, and one small tensor."""
    metadata = {
        "format": "styleclip-rt/1",
        "architecture": architecture,
        "config": json.dumps(config),
    }
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return safetensors({"__metadata__": metadata, "constant": entry}, bytes(4))


def many_tensors() -> bytes:
    """A safetensors header of a hundred thousand empty tensors."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return safetensors({str(i): entry for i in range(100_000)})


def many_members() -> bytes:
    """A zip archive that lists one member hundreds of thousands of times."""
    local = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 1, 0) + b"a"
    central = b"PK\x01\x02" + bytes(24) + struct.pack("<HHHHHLL", 4, 0, 0, 0, 0, 0, 0)
    entries = b"".join(central + b"%04x" % (i & 0xFFFF) for i in range(400_000))
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, len(entries), len(local), 0)
    return local + entries + end


def deflated() -> bytes:
    """A PyTorch archive whose storage is compressed to a thousandth."""
    buffer = io.BytesIO()
    pickled = b"\x80\x02}X\x01\x00\x00\x00w" + tensor(storage("0", 16 * MEGA), 16 * MEGA) + b"s."
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", pickled)
        with file.open("a/data/0", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(MEGA))
    return buffer.getvalue()


def clip_of_many_layers() -> bytes:
    vision = {"patch_size": 4, "width": 8, "layers": 2**40, "heads": 1}
    return native("clip", embed_dim=4, image_resolution=8, vision=vision)


FILES: dict[str, Callable[[], bytes]] = {
    "memo": lambda: zipped(memo(2**28), a__code__x=b""),
    "memo, no archive": lambda: zipped(memo(2**28)),
    "memo in a pickle": lambda: memo(2**28),
    "shared modules": lambda: zipped(shared_modules(20, 40), a__code__x=b""),
    "shared modules, deep": lambda: zipped(shared_modules(31, 2), a__code__x=b""),
    "one storage often": lambda: one_storage_often(3000),
    "stride of zero": lambda: zipped(
        b"\x80\x02}X\x01\x00\x00\x00w" + tensor(storage("0", 1), 2**40, 0) + b"s.",
        a__data__0=bytes(4),
    ),
    "claimed storage": lambda: zipped(
        b"\x80\x02}X\x01\x00\x00\x00w" + tensor(storage("0", 2**40), 1) + b"s.", a__data__0=bytes(4)
    ),
    "lists in lists": lambda: b"\x80\x02" + b"]" * (3 * MEGA) + b".",
    "dicts in a list": lambda: b"\x80\x04](" + b"}\x94" * MEGA + b"e.",
    "sets in a list": lambda: b"\x80\x04](" + b"\x8f\x94" * MEGA + b"e.",
    "tuples in tuples": lambda: b"\x80\x02)" + b"\x85" * MEGA + b"}q\x000" + b"h\x00NNs.",
    "a key of tuples": lambda: b"\x80\x02})" + b"\x85" * 300_000 + b"Ns.",
    "doubled lists": doubled_lists,
    "sets of one list": sets_of_one_list,
    "sets of one list, zipped": lambda: zipped(sets_of_one_list()),
    "arrays of one text": arrays_of_one_text,
    "nested storages": nested_storages,
    "frozen text": lambda: pickle.dumps({str(i): "x" for i in range(500_000)}),
    "many layers": lambda: native("stylegan2", channels=[4, 4], latent_dim=4, n_mlp=2**31),
    "some layers": lambda: native("stylegan2", channels=[4, 4], latent_dim=4, n_mlp=60),
    "many channels": lambda: native("stylegan2", channels=[100_000] * 9, latent_dim=4, n_mlp=1),
    "endless channels": lambda: native("mobile_stylegan", channels=[2**62] * 8),
    "many blocks": clip_of_many_layers,
    "many units": lambda: native("arcface", widths=[8], units=[2**40]),
    "many moves": lambda: native("prompt_mapper", n_latent=4, rows=[0], prompts=["a"], rank=2**40),
    "many groups": lambda: native("levels_mapper", group_sizes=[2**40, 0, 0]),
    "many tensors": many_tensors,
    "a long header": lambda: struct.pack("<Q", 9 * MEGA) + b"{" + b" " * (9 * MEGA),
    "a deep header": lambda: struct.pack("<Q", MEGA) + b'{"a":' * (MEGA // 5) + b" " * 10,
    "many members": many_members,
    "deflated": deflated,
}


def hostile_files(folder: Path) -> Iterator[Path]:
    """Write each of them, give its path, and remove it."""
    for name, make in FILES.items():
        path = folder / name
        path.write_bytes(make())
        yield path
        path.unlink()
    yield from _graphs(folder)


def _graphs(folder: Path) -> Iterator[Path]:
    """Folders with graphs that take more than they say."""
    for name, xml in {
        "elements": "<net><layers>" + "<a/>" * (MEGA // 5) + "</layers><edges/></net>",
        "deep": "<net><layers>" + "<a>" * (MEGA // 4),
        "entities": "",
    }.items():
        path = folder / name
        path.mkdir()
        text = xml.encode()
        if name == "entities":
            lines = '<!ENTITY a0 "' + "x" * 1000 + '">'
            for i in range(1, 12):
                lines += f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">'
            head = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE n [{lines}]>'
            text = f"{head}<net>&a11;</net>".encode("utf-16")
        for network in ("MappingNetwork", "SynthesisNetwork"):
            (path / f"{network}.xml").write_bytes(text)
            (path / f"{network}.bin").write_bytes(bytes(16))
        yield path
