"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from styleclip_rt.errors import StyleClipError


@contextmanager
def replacing(path: Path, error: type[StyleClipError] = StyleClipError) -> Iterator[Path]:
    """Give a path beside `path` to write to, with the same suffix; put it in place at the end.

    Whatever goes wrong, nothing half-written is left, and what stood at `path` before is still
    there.

    Raises:
        error: the file cannot be written.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as reason:
        raise error(
            f"Cannot write {path} ({reason.strerror}); choose a folder that has space and is yours."
        ) from reason
    finally:
        temporary.unlink(missing_ok=True)
