"""Trains a tiny mapper in a process of its own: LATENTS OUT [STEP], killed after STEP."""

import os
import signal
import sys
from pathlib import Path

import torch

from styleclip_rt.cli.mapper import accelerator
from styleclip_rt.training.mapper import MapperSettings, MapperTrainer
from tests.tiny import tiny_bundle

SETTINGS = MapperSettings(
    ("red hair", "old"), steps=8, faces=2, val_every=4, val_faces=2, save_every=3
)


def trainer(latents: Path, out: Path, settings: MapperSettings = SETTINGS) -> MapperTrainer:
    bundle = tiny_bundle(id=0.3, preserve=2.0)
    return MapperTrainer(bundle, latents, out, settings, accelerator=accelerator())


if __name__ == "__main__":
    torch.set_num_threads(1)
    run = trainer(Path(sys.argv[1]), Path(sys.argv[2]))
    assert run.world == int(os.environ.get("WORLD_SIZE", "1"))
    run.resume()
    if len(sys.argv) > 3:
        while run.step < int(sys.argv[3]):
            run.train_step()
            if run.step % run.settings.save_every == 0:
                run.save()
        os.kill(os.getpid(), signal.SIGKILL)
    run.run()
