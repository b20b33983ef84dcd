"""Runs `styleclip` with tiny networks, again and again, each time in a process of its own that can
be killed: importing torch once, and forking.

Reads one JSON object a line and answers each with one:

    {"arguments": [...], "cache": folder, "weights": folder, "signal": number, "place": number or
    null, "after": seconds or null} -> {"status": exit code or -signal, "places": number,
    "seconds": number, "told": stderr}

A *place* is a call that changes names on the disk or waits for it; the signal comes just before the
one of that number, or after so many seconds.
"""

import json
import mmap
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from styleclip_rt import bundle as bundles
from styleclip_rt import cli
from styleclip_rt.bundle import store
from styleclip_rt.bundle.download import SOURCES
from styleclip_rt.export import torchscript  # noqa: F401 - imported once, not in every fork
from styleclip_rt.pictures import comparison, loss_plot
from styleclip_rt.runtime import torch_edits, torch_networks  # noqa: F401
from styleclip_rt.training import latent_dataset
from styleclip_rt.training import mapper as training  # noqa: F401
from tests.tiny import tiny_bundle

PLACES = ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir")


def prepare(request: dict[str, Any], places: mmap.mmap) -> None:
    """In the fork: tiny networks, and a signal at the place."""
    weights = Path(request["weights"])
    os.environ["STYLECLIP_RT_CACHE"] = request["cache"]
    real = store.load_bundle
    for module in (bundles, torch_networks):
        module.load_bundle = lambda name: (  # type: ignore[attr-defined]
            tiny_bundle() if name == "tiny" else real(name)
        )
    latent_dataset.SHARD = 4
    store._SHIPPED = weights

    def fetch(name: str, folder: Path, given: dict[str, Path], hashes: object) -> dict[str, Path]:
        (folder / "fetched").write_bytes(bytes(1000))
        return {role: weights / f"{role}.safetensors" for role in SOURCES[name]} | dict(given)

    store.fetch = fetch  # type: ignore[assignment]
    for name in PLACES:
        setattr(os, name, counted(getattr(os, name), request, places))


def counted(function: Any, request: dict[str, Any], places: mmap.mmap) -> Any:
    def call(*arguments: Any, **keywords: Any) -> Any:
        number = int.from_bytes(places[:4], "little")
        places[:4] = (number + 1).to_bytes(4, "little")
        if number == request["place"]:
            os.kill(os.getpid(), request["signal"])
        return function(*arguments, **keywords)

    return call


def child(request: dict[str, Any], places: mmap.mmap, told: Any) -> None:
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        prepare(request, places)
        sys.argv = ["styleclip", *request["arguments"]]
        cli.main()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        status = 130  # before or after all that the command line does
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(request: dict[str, Any]) -> dict[str, Any]:
    places = mmap.mmap(-1, 4)
    with tempfile.TemporaryFile("w+") as told:
        started = time.perf_counter()
        number = os.fork()
        if number == 0:
            child(request, places, told)
        if request["after"] is not None:
            time.sleep(request["after"])
            os.kill(number, request["signal"])
        _, status = os.waitpid(number, 0)
        seconds = time.perf_counter() - started
        told.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "places": int.from_bytes(places[:4], "little"),
            "seconds": seconds,
            "told": told.read(),
        }


if __name__ == "__main__":
    torch.set_num_threads(1)
    # Fonts are looked for once, and not in every fork.
    loss_plot([{"total": 1.0}])
    comparison(*[Image.new("RGB", (32, 32))] * 2, "warm")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
