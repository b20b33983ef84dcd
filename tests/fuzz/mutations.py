"""Ways to spoil a file: bytes, and the fields of what a format is made of."""

import io
import json
import pickletools
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

NUMBERS = [0, 1, -1, 2, 3, 7, 127, 255, 256, 1024, 65535]
NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**63, 10**30]
VALUES: list[Any] = [
    *NUMBERS,
    None,
    True,
    False,
    "",
    "x",
    "\ud800",
    "gelu",
    "float32",
    "A" * 10_000,
]
VALUES += [[], {}, [[]], [1, 2, 3], {"a": 1}, [2**31], [0], [-1], ["a"]]
VALUES += [0.5, -0.5, 1e300, float("nan"), float("inf")]
OPCODES = [b"N", b"]", b"}", b")", b"(", b"0", b"1", b"2", b"R", b"b", b"Q", b"t", b"\x81"]

Mutation = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, r: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(r.choice([1, 1, 1, 2, 4, 16])):
        if spoilt:
            # Headers are where a reader decides most.
            end = len(spoilt) if r.random() < 0.5 else min(len(spoilt), 4096)
            at = r.randrange(end) if r.random() < 0.7 else len(spoilt) - 1 - r.randrange(end)
            spoilt[at] = r.choice(
                [0, 1, 0x7F, 0x80, 0xFF, r.randrange(256), spoilt[at] ^ (1 << r.randrange(8))]
            )
    return bytes(spoilt)


def cut(data: bytes, r: random.Random) -> bytes:
    return data[: r.randrange(len(data) + 1)]


def splice(data: bytes, r: random.Random) -> bytes:
    a, b, c = (r.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[min(b, c) : max(b, c)][:65536] + data[b:]


def number(data: bytes, r: random.Random) -> bytes:
    size = r.choice([1, 2, 4, 8])
    value = r.choice(NUMBERS) % 256**size
    at = r.randrange(max(1, len(data) - size))
    return (
        data[:at] + value.to_bytes(size, r.choice(["little", "little", "big"])) + data[at + size :]
    )


def archive(data: bytes, r: random.Random) -> bytes:
    """Spoil a member of a zip archive, its name or how it is stored."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    victims = [name for name in members if name.endswith(".pkl")] if r.random() < 0.6 else []
    victim = r.choice(victims or list(members))
    act = r.randrange(6)
    if act == 0:
        del members[victim]
    elif act == 1:
        members[r.choice([victim + "x", "data.pkl", "a/b/data.pkl", "x/data.pkl", ""])] = members[
            victim
        ]
    elif act == 2:
        members[victim] = members[r.choice(list(members))]
    else:
        inner = r.choice([opcodes, opcodes, flip, cut, number])
        members[victim] = inner(members[victim], r)
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if r.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def opcodes(data: bytes, r: random.Random) -> bytes:
    """Drop, repeat, move or alter opcodes of a pickle."""
    try:
        ends = [at for _, _, at in pickletools.genops(data) if at is not None]
    except ValueError:
        return flip(data, r)
    parts = [data[a:b] for a, b in zip(ends, [*ends[1:], len(data)], strict=True)]
    for _ in range(r.choice([1, 1, 2, 5])):
        at = r.randrange(len(parts))
        act = r.randrange(6)
        if act == 0:
            parts[at] = b""
        elif act == 1:
            parts[at] *= r.choice([2, 3, 100])
        elif act == 2:
            parts[at], parts[at - 1] = parts[at - 1], parts[at]
        elif act == 3:
            value = r.choice(NUMBERS)
            parts[at] = (
                b"\x8a\x09" + value.to_bytes(16, "little", signed=True)[:9]
                if value < 2**70
                else b"N"
            )
        elif act == 4:
            parts[at] = r.choice(
                [b"N", b"]", b"}", b")", b"(", b"0", b"1", b"2", b"R", b"b", b"Q", b"t", b"\x81"]
            )
        else:
            parts[at] = flip(parts[at], r)
    return b"".join(parts)


def header(data: bytes, r: random.Random) -> bytes:
    """Alter a safetensors file's header, or the config in its metadata."""
    size = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + size])
    metadata = content.get("__metadata__", {})
    if "config" in metadata and r.random() < 0.7:
        metadata["config"] = json.dumps(altered(json.loads(metadata["config"]), r))
    else:
        content = altered(content, r)
    text = json.dumps(content).encode("utf-8", "replace")
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def document(data: bytes, r: random.Random) -> bytes:
    """Alter a value in JSON."""
    return json.dumps(altered(json.loads(data), r)).encode()


def altered(content: Any, r: random.Random) -> Any:
    """`content` with a value replaced, removed or added somewhere in it."""
    if isinstance(content, dict | list) and content and r.random() < 0.9:
        key = r.choice(list(content)) if isinstance(content, dict) else r.randrange(len(content))
        act = r.random()
        if act < 0.08:
            del content[key]
        elif act < 0.12 and isinstance(content, dict):
            content[r.choice(["x", "", "a.b", str(r.choice(NUMBERS))])] = content[key]
        elif act < 0.16 and isinstance(content, list):
            content.extend(content * r.choice([1, 2, 500]))
        else:
            content[key] = altered(content[key], r)
        return content
    return r.choice(VALUES)


def markup(data: bytes, r: random.Random) -> bytes:
    """Alter attributes in XML."""
    text = data.decode("latin-1")
    found = list(re.finditer(r'([\w-]+)="([^"]*)"', text))
    for match in r.sample(found, min(len(found), r.choice([1, 1, 2, 4]))):
        others = [each.group(2) for each in found if each.group(1) == match.group(1)]
        value = r.choice(
            [str(r.choice(NUMBERS)), r.choice(others), "", "x", "1,2", "²", "1e3", " 7 "]
        )
        text = text.replace(match.group(0), f'{match.group(1)}="{value}"', r.choice([1, 1, -1]))
    return text.encode("latin-1", "replace")


BYTES: list[Mutation] = [flip, flip, cut, splice, number]


def structured(name: str, data: bytes) -> list[Mutation]:
    """The mutations that know the format of a file."""
    if data[8:9] == b"{":
        return [header] * 8
    if data[:2] == b"PK":
        return [archive] * 8
    if data[:1] == b"\x80":
        return [opcodes] * 8
    if name.endswith(".json"):
        return [document] * 8
    return [markup] * 8 if name.endswith(".xml") else []
