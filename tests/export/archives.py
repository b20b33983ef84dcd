"""TorchScript archives, altered."""

import zipfile
from pathlib import Path


def rewritten(archive: Path, old: str, new: str, target: Path) -> Path:
    """A copy in which every text has `new` for `old`."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith((".py", ".json")):
                content = content.replace(old.encode(), new.encode())
            copy.writestr(name, content)
    return target


def of_version(archive: Path, version: str, target: Path) -> Path:
    """A copy that says that it was made by another version of this package."""
    from styleclip_rt import __version__

    return rewritten(archive, f'"version": "{__version__}"', f'"version": "{version}"', target)
