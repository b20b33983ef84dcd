"""Files and folders that appear whole or not at all, whenever their writer is killed.

What is being written lies where it shall go under a name that begins with `PREFIX`, and is locked
(flock) for as long as its writer lives. So whoever writes to the same folder next can tell what a
killed writer left: nobody holds it. Everything is on the disk before it is given its name, so that
a power cut undoes nothing either.

Where there is no flock (Windows, some network disks), files still appear whole, but writers do not
wait for each other and nothing is swept.
"""

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from styleclip_rt.errors import StyleClipError

if sys.platform != "win32":
    import fcntl

PREFIX = ".styleclip-"
"""What begins the names of things that are not in their place yet."""

_COMMITTED = f"{PREFIX}committed"
_OLD = f"{PREFIX}old-"
_JOURNAL = f"{PREFIX}journal"
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""What a disk says when it takes no more; these errors name no file."""


@contextmanager
def replacing(path: Path, error: type[StyleClipError] = StyleClipError) -> Iterator[Path]:
    """Give a path beside `path` to write to, with the same suffix; put it in place at the end.

    Whatever goes wrong, nothing half-written is left, and what stood at `path` before is still
    there. What else goes wrong meanwhile is raised as it is.

    Raises:
        error: the file cannot be written.
    """
    temporary, lock, ours = path, None, True
    try:
        sweep(path.parent)
        temporary, lock = _claim(path.parent, path.suffix, folder=False)
        ours = False
        yield temporary
        ours = True
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as reason:
        if reason.filename is None:
            ours = ours or reason.errno in _DISK
        elif str(reason.filename) in (str(path), str(temporary)):
            ours = True
        if not ours:
            raise
        raise error(
            f"{path} cannot be written ({reason.strerror or reason}); choose a folder that has "
            "space and is yours."
        ) from reason
    finally:
        if temporary != path:
            _discard(temporary)
        _release(lock)


@contextmanager
def appearing_in(folder: Path, last: str, instead_of: Sequence[str] = ()) -> Iterator[Path]:
    """Give an empty folder to write files to, which then appear in `folder` together.

    They are put in place one by one, `last` after all others, while other writers wait. So whoever
    finds `last` finds all that belongs to it and nothing older. After a kill either nothing has
    happened, or the next writer (or `sweep`) puts the rest in place.

    Args:
        folder: made if missing.
        last: name of the file that says that the others are there; it must be written.
        instead_of: patterns (as of `Path.glob`) of files of an earlier writing that go, where they
            are not replaced.

    Raises:
        OSError: they cannot be written. `folder` is then as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    work, lock = _claim(folder, "", folder=True)
    try:
        yield work
        files = [path.relative_to(work) for path in sorted(work.rglob("*")) if path.is_file()]
        if Path(last) not in files:
            raise ValueError(f"{last} was not written")
        for path in files:
            _check_way(folder, path)
        with locked(folder):
            _finish(folder)
            old = {path.relative_to(folder) for name in instead_of for path in folder.glob(name)}
            journal = {"last": last, "gone": sorted(map(str, old - set(files)))}
            (work / _JOURNAL).write_text(json.dumps(journal), encoding="utf-8")
            _settle(work)
            os.rename(work, folder / _COMMITTED)
            _sync_folder(folder)
            _finish(folder)
    finally:
        _discard(work)
        _release(lock)


def check_spared(path: Path, folder: Path, names: Sequence[str]) -> None:
    """Check that a user's file survives when files are written to a folder.

    Args:
        path: of the user's file.
        folder: to be written to.
        names: patterns of what will be written, or removed, there; as "frames/*.png".

    Raises:
        StyleClipError: it would not.
    """
    file, there = path.resolve(), folder.resolve()
    if not file.is_relative_to(there):
        return
    # File systems may ignore case.
    name = file.relative_to(there).as_posix().lower()
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in names):
        raise StyleClipError(
            f"what is written to {folder} would replace {path}: choose another folder with --out."
        )


@contextmanager
def replacing_folder(folder: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give an empty folder beside `folder`; put it in place, whole, at the end.

    What stood there before is moved aside, then thrown away; a kill between the two is undone by
    `sweep` of the folder that holds it.

    Raises:
        FileExistsError: there is one already, and it shall not be overwritten.
        OSError: it cannot be written. What stood there before still does.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    work, lock = _claim(folder.parent, "", folder=True)
    old = folder.with_name(f"{_OLD}{folder.name}")
    try:
        yield work
        _settle(work)
        with locked(folder.parent):
            _put_back(old)
            if folder.exists():
                if not overwrite:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
                os.rename(folder, old)
            os.rename(work, folder)
            _sync_folder(folder.parent)
            _discard(old)
    finally:
        _discard(work)
        _release(lock)


@contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold `folder`, which is made if missing, against every other process and thread that would;
    wait until they let go. Those who only read share it. It may be removed inside; who waits for it
    then makes it anew.

    Raises:
        OSError: it cannot be made or opened.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":
            yield
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # whoever held it has just removed it
            continue
        try:
            with contextlib.suppress(OSError):  # a disk without locks
                fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if _is_at(descriptor, folder):
                yield
                return
        finally:
            os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only one who works for long in `folder`, which is made if missing.

    Raises:
        StyleClipError: somebody does already.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    busy = folder / f"{PREFIX}busy"
    with contextlib.ExitStack() as held:
        if sys.platform != "win32":
            _hold(busy, held)
        yield


def _hold(busy: Path, held: contextlib.ExitStack) -> None:
    for _ in range(20):
        busy.mkdir(exist_ok=True)
        try:
            descriptor = os.open(busy, os.O_RDONLY)
        except FileNotFoundError:
            continue
        held.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Perhaps a sweeper, which is gone in a moment.
            time.sleep(0.02)
            continue
        except OSError:  # a disk without locks
            pass
        if _is_at(descriptor, busy):
            held.callback(_discard, busy)
            return
    raise StyleClipError(
        f"another process is at work in {busy.parent}: wait until it is done, or choose another "
        "folder with --out."
    )


def sweep(folder: Path) -> bool:
    """Finish or undo what killed writers left in `folder`; whether there was anything. Does nothing
    to the work of living ones, nor where `folder` is missing or not ours to write."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(PREFIX))
    except OSError:
        return False
    lock = _try_lock(folder) if names else None
    if lock is None:  # whoever holds it is putting something in place, and looks itself
        return False
    try:
        with contextlib.suppress(OSError):
            _finish(folder)
        for path in (folder / name for name in names if name != _COMMITTED):
            if path.name.startswith(_OLD):
                with contextlib.suppress(OSError):
                    _put_back(path)
                continue
            orphan = _try_lock(path)
            if orphan is not None:
                _discard(path)
                _release(orphan)
    finally:
        _release(lock)
    return True


def check_writable(folder: Path) -> None:
    """Make `folder` and be sure that files can be written there, before the work is done; `sweep`
    it and the folders in it.

    Raises:
        StyleClipError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        for path in [path for path in folder.iterdir() if path.is_dir()]:
            if sweep(path):
                with contextlib.suppress(OSError):  # unless there is more in it
                    path.rmdir()
        path, lock = _claim(folder, "", folder=False)
        _discard(path)
        _release(lock)
    except OSError as error:
        raise StyleClipError(
            f"cannot write to {folder} ({error.strerror}): choose another folder with --out."
        ) from None


def _claim(where: Path, suffix: str, folder: bool) -> tuple[Path, int | None]:
    """Make a file or folder in `where` under a new name, as the umask has it, and lock it."""
    attempts = 3  # a sweeper may come between the two; where nothing locks, none does
    while True:
        path = where / f"{PREFIX}{secrets.token_hex(8)}{suffix}"
        if folder:
            path.mkdir()
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        lock, attempts = _try_lock(path), attempts - 1
        if lock is not None or attempts == 0:
            return path, lock
        _discard(path)


def _try_lock(path: Path) -> int | None:
    """Lock a file or folder, which `_release` undoes; None where another has, or nothing can."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _release(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether what was opened still lies at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _check_way(folder: Path, path: Path) -> None:
    """Be sure, before anything is moved, that a file can be moved to `path` in `folder`."""
    if (folder / path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / path))
    for parent in (folder / parent for parent in path.parents):
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent))


def _finish(folder: Path) -> None:
    """Put in place what was committed to `folder`; it may have been begun already."""
    work = folder / _COMMITTED
    if not work.is_dir():
        return
    try:
        journal = json.loads((work / _JOURNAL).read_text(encoding="utf-8"))
        last = _inside(journal["last"])
        gone = [_inside(name) for name in list(journal["gone"])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # All is in place, and only the removal was cut short; or it is none of ours.
        _discard(work)
        return
    files = [path.relative_to(work) for path in sorted(work.rglob("*")) if path.is_file()]
    if last in files:
        (folder / last).unlink(missing_ok=True)
        _sync_folder(folder)
        for path in gone:
            (folder / path).unlink(missing_ok=True)
        for path in files:
            if path not in (last, Path(_JOURNAL)):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(work / path, folder / path)
        for parent in {(folder / path).parent for path in files}:
            _sync_folder(parent)
        os.replace(work / last, folder / last)
        _sync_folder(folder)
    _discard(work)


def _inside(name: str) -> Path:
    path = Path(os.fsdecode(os.fsencode(name)))
    if "\0" in name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} leads out of its folder")
    return path


def _put_back(old: Path) -> None:
    """Undo, or end, what moved a folder aside to `old`."""
    if not old.is_dir():
        return
    folder = old.with_name(old.name.removeprefix(_OLD))
    if folder.exists():
        _discard(old)
    else:
        os.rename(old, folder)


def _settle(work: Path) -> None:
    """Have all files of a folder on the disk, with the permissions that the umask gives."""
    usual = work / f"{PREFIX}mode"
    os.close(os.open(usual, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    mode = usual.stat().st_mode & 0o777
    usual.unlink()
    for path in sorted(work.rglob("*"), reverse=True):
        if path.is_dir():
            _sync_folder(path)
        else:
            path.chmod(mode)
            _sync(path)
    _sync_folder(work)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network disks refuse
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _discard(path: Path) -> None:
    """Remove a file or folder if it can be; what went wrong before matters more."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 16):
            digest.update(chunk)
    return digest.hexdigest()
