"""Kill commands at every moment; then nothing is lost, doubled, mixed or left over.

A seeded choice of kills, about forty seconds of them. STYLECLIP_RT_KILLS=200 makes so many.
"""

import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open

from styleclip_rt import engines
from styleclip_rt.bundle import read_manifest
from styleclip_rt.checkpoints import native
from styleclip_rt.files import PREFIX, sha256_of, sweep
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from tests.tiny import tiny_bundle

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks what it kills")

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("STYLECLIP_RT_KILLS", "48"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Server:
    """The process that runs commands (`tests.kills.server`), and the weights that they use."""

    process: subprocess.Popen[str]
    weights: Path

    def run(
        self,
        folder: Path,
        arguments: Sequence[str],
        kind: int = 0,
        place: int | None = None,
        after: float | None = None,
    ) -> dict[str, Any]:
        """Run a command, `{}` in it being the folder, with its cache there too."""
        request = {
            "arguments": [argument.replace("{}", str(folder)) for argument in arguments],
            "cache": str(folder / "cache"),
            "weights": str(self.weights),
            "signal": int(kind),
            "place": place,
            "after": after,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def done(self, folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
        """Run a command to its end."""
        answer = self.run(folder, arguments)
        assert answer["status"] == 0, answer["told"]
        return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    weights = tmp_path_factory.mktemp("weights")
    bundle = tiny_bundle()
    other = StyleGAN2(StyleGAN2Config((8, 8, 8), latent_dim=8, n_mlp=2))
    for name, network in (
        ("generator", other),
        ("tiny", bundle.generator),
        ("face_clip", bundle.clip),
        ("face_id", bundle.identity),
    ):
        assert network is not None
        native.save(network, weights / f"{name}.safetensors")
    shipped = ROOT / "python" / "styleclip_rt" / "weights"
    for name in ("draft_head", "region_prior", "look_directions"):
        shutil.copy(shipped / f"{name}.safetensors", weights)
    paths = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.kills.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    yield Server(process, weights)
    process.stdin.close()  # type: ignore[union-attr]
    process.wait()


class Scenario:
    """A command that is killed; `check` looks at what is there after the kill, and `end` after the
    same command ran to its end."""

    command: tuple[str, ...]
    share = 1.0

    def before(self, server: Server, folder: Path) -> None:
        """Make what is there before."""
        folder.mkdir(parents=True)

    def check(self, folder: Path, whole: Path) -> None:
        """After the kill; `whole` is a folder in which nothing was killed."""

    def end(self, folder: Path, whole: Path) -> None:
        """After the next run."""
        assert contents(folder) == contents(whole)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Edit(Scenario):
    """Into a folder that has another edit, with more files."""

    command = ("edit", "red hair", "--bundle=tiny", "--seed=7", "--steps=4", "--out={}/out")

    def before(self, server: Server, folder: Path) -> None:
        server.done(folder, ("edit", "old", *self.command[2:], "--frames=1"))

    def check(self, folder: Path, whole: Path) -> None:
        record = folder / "out" / "edit.json"
        if record.exists():
            known = json.loads(record.read_text())
            pictures = ["original.png", "edited.png", "comparison.png", "loss.png"]
            for name in pictures:
                with Image.open(folder / "out" / name) as picture:
                    assert json.loads(picture.info["styleclip_rt"]) == known
            with safe_open(folder / "out" / "latent.safetensors", framework="np") as latent:
                assert latent.metadata()["prompt"] == known["prompt"]
            frames = len(list((folder / "out").glob("frames/*.png")))
            assert frames == (4 if known["prompt"] == "old" else 0)


class Create(Scenario):
    """A new bundle."""

    command = ("bundle", "create", "mine", "--generator={}/tiny.safetensors")

    def before(self, server: Server, folder: Path) -> None:
        folder.mkdir(parents=True)
        shutil.copy(server.weights / "tiny.safetensors", folder)

    def check(self, folder: Path, whole: Path) -> None:
        bundle = folder / "cache" / "bundles" / "mine"
        if bundle.exists():
            assert is_whole(bundle)


class Pull(Scenario):
    """A bundle that is there already, with another generator."""

    command = ("bundle", "pull", "ffhq-mobile", "--generator={}/tiny.safetensors")

    def before(self, server: Server, folder: Path) -> None:
        server.done(folder, self.command[:3])
        shutil.copy(server.weights / "tiny.safetensors", folder)

    def check(self, folder: Path, whole: Path) -> None:
        bundles = folder / "cache" / "bundles"
        sweep(bundles)
        assert is_whole(bundles / "ffhq-mobile")


def is_whole(bundle: Path) -> bool:
    files = read_manifest(bundle).files.values()
    return all(
        sha256_of(bundle / entry.file) == entry.sha256 for entry in files if entry.sha256
    ) and {path.name for path in bundle.iterdir()} == {
        "manifest.json",
        "MODEL_CARD.md",
        *(entry.file for entry in files if entry.sha256),
    }


class Generate(Scenario):
    """A data set of four shards."""

    command = ("dataset", "generate", "--bundle=tiny", "--train=10", "--val=3", "--out={}/latents")

    def check(self, folder: Path, whole: Path) -> None:
        expected = contents(whole)
        for name, content in contents(folder).items():
            assert PREFIX in name or content == expected[name]


class Train(Scenario):
    """A mapper, with checkpoints on the way."""

    command = (
        *("mapper", "train", "--prompts=red hair", "--bundle=tiny", "--latents={}/latents"),
        *("--out={}/mapper", "--steps=6", "--faces=1", "--val-every=3", "--val-faces=1"),
        *("--save-every=2", "--precision=fp32"),
    )
    share = 0.6

    def before(self, server: Server, folder: Path) -> None:
        server.done(folder, Generate.command)

    def end(self, folder: Path, whole: Path) -> None:
        # Torch writes the same state as other bytes when it was read from a file.
        found, expected = contents(folder), contents(whole)
        assert found.keys() == expected.keys()
        assert all(found[name] == expected[name] for name in found if name[-3:] != ".pt")


class Export(Scenario):
    """Over an export that is there already."""

    command = ("export", "torchscript", "--bundle=tiny", "--network=mapping", "--out={}/out")
    share = 0.6

    def before(self, server: Server, folder: Path) -> None:
        server.done(folder, self.command)

    def check(self, folder: Path, whole: Path) -> None:
        assert engines.read_info(folder / "out" / "mapping.ts").network == "mapping"

    def end(self, folder: Path, whole: Path) -> None:
        self.check(folder, whole)
        assert contents(folder).keys() == contents(whole).keys()


def kills(places: int, seconds: float, count: int) -> list[dict[str, Any]]:
    """How to kill: each signal at places, and at random moments between."""
    chance = random.Random(places)
    forced = list(itertools.product(SIGNALS, range(places)))
    chance.shuffle(forced)
    # -9 at the places first, as nothing cleans up after it.
    forced.sort(key=lambda kill: kill[0] != signal.SIGKILL)
    moments = [
        {"kind": SIGNALS[i % 3], "after": chance.uniform(0, 1.1) * seconds}
        for i in range(count // 3)
    ]
    chosen = [{"kind": kind, "place": place} for kind, place in forced]
    return chosen[: count - len(moments)] + moments


SCENARIOS = (Edit, Create, Pull, Generate, Train, Export)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_loses_doubles_mixes_and_leaves_nothing(
    server: Server, tmp_path: Path, scenario: type[Scenario]
) -> None:
    case = scenario()
    case.before(server, tmp_path / "start")
    shutil.copytree(tmp_path / "start", tmp_path / "whole")
    answer = server.done(tmp_path / "whole", case.command)
    shares = sum(scenario.share for scenario in SCENARIOS)
    count = max(3, math.ceil(KILLS * case.share / shares))
    for number, kill in enumerate(kills(answer["places"], answer["seconds"], count)):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "start", folder)
        killed = server.run(folder, case.command, **kill)
        said = (kill, killed)
        assert "Traceback" not in killed["told"], said
        if kill["kind"] == signal.SIGKILL:
            assert killed["status"] in (-signal.SIGKILL, 0), said
        else:
            assert killed["status"] in (130, 0, -kill["kind"]), said
        case.check(folder, tmp_path / "whole")
        again = server.run(folder, case.command)
        taken = again["status"] == 2 and "There is a bundle 'mine'" in again["told"]
        assert again["status"] == 0 or taken, (said, again)
        case.end(folder, tmp_path / "whole")
        left = [path for path in folder.rglob("*") if path.name.startswith((PREFIX, "tmp"))]
        assert left == [], said
        shutil.rmtree(folder)
