"""Spoils files and reads them in a process of its own: FOLDER FIRST LAST.

Prints the number of each try before it, and what went wrong as a line of JSON.
"""

import contextlib
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
from tests.fuzz.mutations import BYTES, structured
from tests.fuzz.reader_files import READERS, corpus, use

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
    forget()
    before = peak()
    size = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    signal.alarm(MOST_SECONDS)
    try:
        use(READERS[reader](work / path.name))
    except StyleClipError as error:
        text = str(error)
        if "\n" in text or not text.endswith((".", ")")) or len(text) > 2000:
            return f"{path.parent.name}: not a sentence: {text[:300]!r}"
    except Exception:
        return f"{path.parent.name}: {traceback.format_exc()}"
    finally:
        signal.alarm(0)
    taken = peak() - before
    return f"{path.parent.name}: {taken} bytes" if taken > MOST_BYTES + 3 * size else ""


def main(folder: Path, first: int, last: int) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = corpus(folder / "corpus")
    for path, reader in files.values():
        try:
            use(READERS[reader](path))
        except StyleClipError as error:
            # The two that would be too large are in the corpus as far as they are read.
            assert path.parent.name in ("facenet", "insightface"), (path, error)
    for number in range(first, last):
        print(number, flush=True)
        failure = attempt(number, files, folder / "work")
        if failure:
            print(json.dumps({"try": number, "failure": failure}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
