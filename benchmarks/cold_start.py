"""How long a mapper service takes from nothing to its first edited image.

``python -m benchmarks.cold_start`` starts ``styleclip serve`` again and again, with torch and with
ONNX Runtime in turn, and asks for an edit until one comes back; and likewise a program that holds a
`MapperRuntime` itself. The files have been read before, so the disk is no part of it.
"""

import functools
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks import networks
from benchmarks.report import machine
from benchmarks.timing import interleave, ratio
from styleclip_rt import markdown
from styleclip_rt.bundle import create, load_bundle
from styleclip_rt.checkpoints import mapper_file, native
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.table import build
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig

PROGRAM = """
import sys
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.mapper import MapperRuntime, Move
bundle, mapper, engine, exports, draft, picture = sys.argv[1:]
runtime = MapperRuntime(bundle, [mapper], engine=engine, exports=exports, draft=draft == "True")
edited = runtime.latents(runtime.start([7]), [Move(mapper)])
to_pil(runtime.draw(edited)[0]).save(picture)
"""
ENGINES = ("torch", "onnxruntime")
POLL_SECONDS = 0.005
GIVE_UP_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """A bundle, a mapper of it, the folder of their exports, whether it draws drafts, and whether
    it answers over HTTP."""

    bundle: str
    mapper: str
    exports: Path
    draft: bool = False
    http: bool = True

    def first_image(self, engine: str) -> Image.Image:
        """Start the service, get one edit from it, and end it."""
        return self._served(engine) if self.http else self._made(engine)

    def _made(self, engine: str) -> Image.Image:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            arguments = [self.bundle, self.mapper, engine, self.exports, self.draft, file.name]
            command = [sys.executable, "-c", PROGRAM, *(str(argument) for argument in arguments)]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            return Image.open(file.name).convert("RGB")

    def _served(self, engine: str) -> Image.Image:
        """Over HTTP.

        Raises:
            RuntimeError: it ended, or did not answer in two minutes.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "styleclip_rt.cli", "serve", self.mapper]
        command += ["--bundle", self.bundle, "--engine", engine, "--exports", str(self.exports)]
        command += ["--draft"] if self.draft else []
        name = Path(self.mapper).stem if engine == "torch" else self.mapper
        url = f"http://127.0.0.1:{port}/edit?mapper={name}&seed=7"
        quiet = subprocess.DEVNULL
        server = subprocess.Popen([*command, "--port", str(port)], stdout=quiet, stderr=quiet)
        end = time.perf_counter() + GIVE_UP_SECONDS
        try:
            while time.perf_counter() < end and server.poll() is None:
                try:
                    with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as got:
                        return Image.open(io.BytesIO(got.read())).convert("RGB")
                except urllib.error.HTTPError as error:
                    raise RuntimeError(error.read().decode()) from None
                except urllib.error.URLError:
                    time.sleep(POLL_SECONDS)
            raise RuntimeError(f"the service with {engine} gave no image")
        finally:
            server.kill()
            server.wait()


def random_service(resolution: int, folder: Path) -> Service:
    """StyleGAN2 config-f and a mapper with random weights; the rest is the default bundle's."""
    weights = folder / "generator.safetensors"
    native.save(networks.stylegan2(resolution), weights)
    create("stylegan2", weights)
    generator = networks.stylegan2(resolution)
    mapper = PromptMapper(PromptMapperConfig(generator.n_latent, (4, 5, 6, 7), ("old",)))
    with torch.no_grad():
        for tensor in mapper.parameters():
            tensor.normal_(std=0.05)
        mapper.face_axes.normal_()
    path = folder / "look.safetensors"
    mapper_file.save(mapper, path, mapper_file.Origin("stylegan2", fingerprint(generator)))
    return exported("stylegan2", str(path), folder / "exports")


def exported(bundle_name: str, mapper: str, exports: Path) -> Service:
    """A service of a bundle and a mapper, whose exports are made."""
    exports.mkdir()
    bundle = load_bundle(bundle_name)
    drawings = ["synthesis", "draft"] if bundle.draft_resolution else ["synthesis"]
    for name in ("mapping", *drawings, "mapper"):
        owner = f"{Path(mapper).stem}." if name == "mapper" else ""
        export_onnx(build(bundle, name, mapper), bundle_name, exports / f"{owner}{name}.onnx")
    return Service(bundle_name, mapper, exports)


def measured(service: Service, rounds: int) -> dict[str, object]:
    """Seconds from start to image of each engine, and their ratio."""
    images = {engine: service.first_image(engine) for engine in ENGINES}
    arrays = [np.asarray(image, np.int16) for image in images.values()]
    size = images["torch"].width
    assert np.abs(arrays[0] - arrays[1]).mean() < 1, "the engines draw different images"
    bar = tqdm(total=rounds * len(ENGINES), desc=f"{service.bundle} at {size}", unit="start")
    with bar:
        times = interleave(
            {engine: functools.partial(service.first_image, engine) for engine in ENGINES},
            rounds,
            warmup=0,
            after=lambda _: bar.update(),
        )
    return {
        "bundle": service.bundle,
        "size": size,
        "over": "HTTP" if service.http else "a call",
        "seconds": {engine: each.seconds for engine, each in times.items()},
        "ratio": ratio(times["torch"], times["onnxruntime"]),
    }


def table(results: list[dict[str, object]]) -> str:
    """A Markdown table of min, median and max of each engine."""
    rows = []
    for result in results:
        for engine, seconds in result["seconds"].items():  # type: ignore[attr-defined]
            low, middle, high = min(seconds), float(np.median(seconds)), max(seconds)
            spread = [f"{value:.2f}" for value in (low, middle, high)]
            rows.append(
                [*(str(result[key]) for key in ("bundle", "size", "over")), engine, *spread]
            )
    told = [
        f"{result['bundle']} at {result['size']} px, over {result['over']}: torch takes "
        f"{result['ratio']:.2f} times as long (median of the ratios)."
        for result in results
    ]
    head = ("bundle", "px", "over", "engine", "min s", "median s", "max s")
    return "\n".join([markdown.table(head, rows), *told]) + "\n"


@click.command()
@click.option("--rounds", default=9, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/cold-start"), show_default=True
)
def main(rounds: int, out: Path) -> None:
    """Measure the default bundle's drafts of 256 px and its full images, and a StyleGAN2 of 256 px
    with random weights."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as work:
        default = exported("ffhq-mobile", "smiling", Path(work) / "ffhq-mobile")
        kinds = [(True, False), (True, True), (False, True)]
        services = [replace(default, draft=draft, http=http) for draft, http in kinds]
        results = [measured(service, rounds) for service in services]
        os.environ["STYLECLIP_RT_CACHE"] = work
        results.append(measured(random_service(256, Path(work)), rounds))
    text = f"{table(results)}Load of the machine before: {load_before:.1f}.\n"
    out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine() | {"load_before": round(load_before, 2)}, "results": results}
    (out / "cold_start.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out / "cold_start.md").write_text(text, encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
