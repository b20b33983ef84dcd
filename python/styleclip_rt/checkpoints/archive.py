"""Zip archives whose members lie in them as they are: PyTorch's files. Needs no torch."""

import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s22s2H")
_LONGEST_COMMENT = 1 << 16
_LARGEST_DIRECTORY = 16 << 20
"""Bytes; PyTorch's list some thousand members. Each costs several times as much in memory."""


class BrokenArchive(Exception):  # noqa: N818
    """An archive that cannot be read; the message says why, as part of a sentence."""


class Archive:
    """The members of a zip archive, in which nothing is larger than in the file.

    Raises BrokenArchive for a file that is no zip archive, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.file: BinaryIO = path.open("rb")
        try:
            self._check_directory()
            with zipfile.ZipFile(self.file) as archive:
                self.members = {member.filename: member for member in archive.infolist()}
        except BrokenArchive:
            self.file.close()
            raise
        except Exception as error:  # a parser of hostile bytes may raise anything
            self.file.close()
            raise BrokenArchive("it is no whole zip archive") from error

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _check_directory(self) -> None:
        """Look how large the list of members is before it is read."""
        start = max(0, self.size - _END.size - _LONGEST_COMMENT)
        self.file.seek(start)
        tail = self.file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise BrokenArchive("it is no whole zip archive")
        size = _END.unpack_from(tail, at)[5]
        locator = at - _LOCATOR_64.size
        if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
            self.file.seek(min(_LOCATOR_64.unpack_from(tail, locator)[2], self.size))
            end = self.file.read(_END_64.size)
            if len(end) == _END_64.size:
                size = max(size if size != 0xFFFFFFFF else 0, _END_64.unpack(end)[8])
        if size > _LARGEST_DIRECTORY:
            raise BrokenArchive("it lists more members than such a file can need")

    def seek(self, name: str) -> int:
        """Go to the first byte of a member; give its size.

        Raises BrokenArchive if there is no such member, or it is compressed or truncated.
        """
        member = self.members.get(name)
        if member is None:
            raise BrokenArchive(f"it lacks {name[:100]!a}")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise BrokenArchive(f"its {name[:100]!a} is compressed")
        self.file.seek(min(member.header_offset, self.size))
        header = self.file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
            raise BrokenArchive("it is no whole zip archive")
        _, _, name_length, extra_length = _LOCAL.unpack(header)
        start = self.file.tell() + name_length + extra_length
        if start + member.file_size > self.size:
            raise BrokenArchive("it is no whole zip archive")
        self.file.seek(start, os.SEEK_SET)
        return member.file_size
