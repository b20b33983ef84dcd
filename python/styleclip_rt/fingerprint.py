"""Which generator a latent or a mapper is for."""

import hashlib

from torch import nn


def fingerprint(generator: nn.Module) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the weights that give latents their
    meaning: the mapping network and the affine layers."""
    digest = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        if "mapping_layers" in name or "affine" in name:
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
