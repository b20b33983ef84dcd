"""From the start of a process to its first edited face at 256 px: torch against exported files.

    python -m benchmarks.cold_start [--rounds 9]

StyleGAN2 at 256 px and a mapper of StyleCLIP's form, with random weights; CLIP and the identity
network of the default bundle, which torch's bundle brings along. The page cache is warm.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.table import build
from tqdm import tqdm

from benchmarks.networks import stylegan2
from benchmarks.timing import interleave, ratio
from styleclip_rt import bundle
from styleclip_rt.checkpoints import mapper_file, native
from styleclip_rt.folders import exports_folder
from styleclip_rt.models.mapper import LevelsMapper, LevelsMapperConfig

SERVICE = """
import sys
from pathlib import Path
from styleclip_rt.pictures import to_pil
from styleclip_rt.runtime.mapper import MapperRuntime, Move
engine, mapper, picture = sys.argv[1:]
runtime = MapperRuntime("cold-start", {"levels": Path(mapper)}, engine=engine)
latent = runtime.latents(runtime.start([7]), [Move("levels")])
to_pil(runtime.draw(latent)[0]).save(picture)
"""


def prepare(folder: Path) -> Path:
    """A bundle, its mapper, and their exports, in a cache of their own; returns the mapper."""
    generator, mapper = stylegan2(256), folder / "levels.safetensors"
    native.save(generator, folder / "stylegan2.safetensors")
    sizes = LevelsMapperConfig((4, 4, generator.n_latent - 8))
    mapper_file.save(LevelsMapper(sizes).eval(), mapper, mapper_file.Origin())
    made = bundle.create("cold-start", folder / "stylegan2.safetensors")
    loaded = bundle.load_bundle(made)
    target = exports_folder("cold-start")
    target.mkdir(parents=True)
    for network, name in (("mapping", ""), ("synthesis", ""), ("mapper", "levels.")):
        path = target / f"{name}{network}.onnx"
        export_onnx(build(loaded, network, str(mapper)), loaded.name, path)
    return mapper


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start")
    parser.add_argument("--rounds", type=int, default=9)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["STYLECLIP_RT_CACHE"] = str(folder / "cache")
        mapper = prepare(folder)

        def start(engine: str) -> None:
            picture = str(folder / f"{engine}.png")
            command = [sys.executable, "-c", SERVICE, engine, str(mapper), picture]
            subprocess.run(command, check=True)

        load = os.getloadavg()[0]
        runs = {e: lambda e=e: start(e) for e in ("torch", "onnxruntime")}
        with tqdm(total=2 * (rounds + 1)) as bar:
            times = interleave(runs, rounds, after=lambda engine: bar.update())
    for engine, each in times.items():
        print(f"{engine}: {each.median:.2f} s ({each.min:.2f} to {each.max:.2f})")
    print(
        f"torch / onnxruntime: {ratio(times['torch'], times['onnxruntime']):.2f}; load {load:.1f}"
    )


if __name__ == "__main__":
    main()
