"""Reads spoilt files in a process of its own: FOLDER FIRST LAST, or hostile ones: FOLDER hostile.

Prints what it tries before it does, and what went wrong as a line of JSON.
"""

import contextlib
import gc
import json
import random
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path

import torch

from styleclip_rt.errors import StyleClipError
from tests.fuzz.hostile_files import hostile_files
from tests.fuzz.mutations import BYTES, structured
from tests.fuzz.reader_files import READERS, Reader, corpus, use

MOST_SECONDS, MOST_BYTES = 10, 200 << 20


def peak() -> int:
    """Bytes of memory that this process had at most since `forget`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def forget() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def spoil(source: Path, target: Path, r: random.Random) -> None:
    """Copy the folder of a file, with one of its files altered."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    victim = r.choice(sorted(path for path in target.rglob("*") if path.is_file()))
    data = victim.read_bytes()
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        # An earlier mutation may leave nothing that the next one understands.
        with contextlib.suppress(Exception):
            data = r.choice([*BYTES, *structured(victim.name, data)])(data, r)
    victim.write_bytes(data)


def attempt(number: int, files: dict[str, tuple[Path, str]], work: Path) -> str:
    """What went wrong; "" for nothing."""
    r = random.Random(number)
    path, reader = files[r.choice(sorted(files))]
    spoil(path.parent, work, r)
    if r.random() < 0.05:
        reader = r.choice(sorted(READERS))
    return failure(READERS[reader], work / path.name, work)


def failure(read: Reader, path: Path, folder: Path) -> str:
    """What goes wrong in reading and using `path`, of the files in `folder`; "" for nothing."""
    files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else [folder]
    size = sum(file.stat().st_size for file in files)
    forget()
    before = peak()
    # Of the processor, since others may share it; the signal ends the process.
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        use(read(path))
    except StyleClipError as error:
        text = str(error)
        if "\n" in text or not text.endswith((".", ")")) or len(text) > 2000:
            return f"not a sentence: {text[:300]!r}"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    taken = peak() - before
    return f"{taken} bytes for {size}" if taken > MOST_BYTES + 3 * size else ""


def main(folder: Path, first: int, last: int) -> None:
    """Try the spoilt files of these numbers."""
    files = corpus(folder / "corpus")
    for path, reader in files.values():
        try:
            use(READERS[reader](path))
        except StyleClipError as error:
            # Whole ones would be too large; these are read as far as they go.
            assert path.parent.name in ("facenet", "insightface"), (path, error)
    for number in range(first, last):
        print(number, flush=True)
        said = attempt(number, files, folder / "work")
        if said:
            print(json.dumps({"try": number, "failure": said}), flush=True)


def hostile(folder: Path) -> None:
    """Have every reader read every hostile file."""
    for path in hostile_files(folder):
        for name, read in READERS.items():
            print(f"{path.name} as {name}", flush=True)
            gc.collect()
            said = failure(read, path, path)
            if said:
                print(json.dumps({"file": path.name, "reader": name, "failure": said}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[2] == "hostile":
        hostile(Path(sys.argv[1]))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
