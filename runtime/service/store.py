"""Photographs, latents and results on the disk, each for a time; what was uploaded is not kept in
memory.

An entry is a folder, which is named by an id that nobody can guess; it appears whole.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from styleclip_rt import files
from styleclip_rt.runtime.service.problems import Problem

FULL = "the store of the service is full: delete photographs, or ask again later."


class Store:
    """See the module. Callable from several threads.

    Args:
        folder: made if it is missing, for its owner alone.
        seconds: that an entry is kept.
        most: bytes that all may take.
    """

    def __init__(self, folder: Path, seconds: float, most: int) -> None:
        self.folder, self.seconds, self._most = folder, seconds, most

    def find(self, kind: str, id: str, what: str) -> Path:
        """The folder of an entry.

        Args:
            kind: "photo", "latent" or "result".
            what: the words for it, "photograph".

        Raises:
            Problem: there is none, or its time is over.
        """
        folder = self.folder / f"{kind}-{id}"
        if not folder.is_dir() or self.expires(folder) < time.time():
            raise Problem(404, f"there is no such {what}, or its time was over: send it again.")
        return folder

    def expires(self, folder: Path) -> float:
        """Seconds since 1970 at which an entry will be deleted; 0 if it is gone."""
        try:
            return folder.stat().st_mtime + self.seconds
        except OSError:
            return 0.0

    def delete(self, kind: str, id: str) -> None:
        """Delete an entry if it is there."""
        shutil.rmtree(self.folder / f"{kind}-{id}", ignore_errors=True)

    @contextmanager
    def entry(self, kind: str, id: str | None = None) -> Iterator[Path]:
        """Give an empty folder to write an entry to, which takes its place, whole, at the end.

        Raises:
            Problem: the disk or the store is full.
        """
        self.sweep()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.check_room()
            name = f"{kind}-{id or secrets.token_hex(16)}"
            with files.replacing_folder(self.folder / name) as work:
                yield work
                os.utime(work)
        except OSError as error:
            raise Problem(503, f"{FULL[:-1]} ({error.strerror}).", 60) from None

    def check_room(self, more: int = 0) -> None:
        """Raises Problem if the store cannot take so many bytes more."""
        if self.size() + more > self._most:
            raise Problem(503, FULL, 60)

    def size(self) -> int:
        """Bytes of all entries; those that vanish meanwhile count for nothing."""
        total = 0
        # Unlike rglob, walk passes over a folder that is gone when it comes to it.
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(folder, name)).st_size
        return total

    def sweep(self) -> None:
        """Delete what has been kept long enough, and what a service that was killed left half."""
        files.sweep(self.folder)
        with contextlib.suppress(OSError):
            for folder in self.folder.iterdir():
                half = folder.name.startswith(files.PREFIX)
                if not half and self.expires(folder) < time.time():
                    shutil.rmtree(folder, ignore_errors=True)
