"""Inversion with exported graphs, without torch."""

import numpy as np

from styleclip_rt.engines import Array
from styleclip_rt.runtime.exported_networks import ExportedNetworks

_SCALES = ("small", "own")


class ExportedInversion:
    """A `styleclip_rt.runtime.inversion.Inversion`.

    Args:
        networks: whose latents come out; further files of them are loaded.
        photograph: float32 [3, S, S] in [0, 1], RGB, aligned as FFHQ is.

    Raises:
        ExportError: a file is missing or broken.
    """

    def __init__(self, networks: ExportedNetworks, photograph: Array) -> None:
        self._networks, self._photograph = networks, photograph[None]
        self._goals: dict[str, dict[str, Array]] = {}
        networks.load("invert_start", "invert_latent")

    def first(self) -> Array:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        return self._networks.run("invert_start", photograph=self._photograph)["offset"]

    def judge(self, offset: Array, fine: bool) -> tuple[float, float, Array]:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        scale = _SCALES[fine]
        if scale not in self._goals:
            self._networks.load(f"invert_goal_{scale}", f"invert_step_{scale}")
            goal = self._networks.run(f"invert_goal_{scale}", photograph=self._photograph)
            self._goals[scale] = goal
        found = self._networks.run(f"invert_step_{scale}", offset=offset, **self._goals[scale])
        return float(found["total"]), float(found["cosine"]), found["gradient"]

    def latent(self, offset: Array) -> Array:
        """See `styleclip_rt.runtime.inversion.Inversion`."""
        w_plus: Array = self._networks.run("invert_latent", offset=offset)["w_plus"][0]
        return np.array(w_plus)

    def refinement(self, latent: Array) -> None:
        """None: the exported graphs draw a latent alone."""
