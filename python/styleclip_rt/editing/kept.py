"""What is measured of a generator once, and kept in the folder of its bundle."""

import contextlib

import torch
from safetensors.torch import load_file, save

from styleclip_rt.bundle import Bundle
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.folders import bundles_folder, is_name
from styleclip_rt.models.generator import Generator


def whitening(bundle: Bundle, generator: Generator, fingerprint: str) -> Whitening:
    """The bundle's generator, where it runs, -> its `Whitening`; measured, where none was kept that
    can be read, and then kept where that can be written.

    What a GPU measures is not kept: it is quick, and differs in its last digits.
    """
    folder = bundles_folder() / bundle.name
    here = generator.mean_latent.device.type == "cpu" and is_name(bundle.name) and folder.is_dir()
    if not here:
        return Whitening(generator)
    path = folder / f"whitening-{fingerprint}.safetensors"
    with contextlib.suppress(Exception):  # whatever is wrong with it, it is measured anew
        kept = load_file(path)
        shape = (generator.latent_dim, generator.latent_dim)
        axes, inverse = kept["axes"], kept["inverse"]
        if all(x.shape == shape and x.dtype == torch.float32 for x in (axes, inverse)):
            product = axes @ inverse
            if torch.allclose(product, torch.eye(len(axes)), atol=1e-3):
                return Whitening.of(axes, inverse)
    measured = Whitening(generator)
    parts = {"axes": measured.axes.contiguous(), "inverse": measured.inverse.contiguous()}
    with contextlib.suppress(StyleClipError), replacing(path) as temporary:
        temporary.write_bytes(save(parts))
    return measured
