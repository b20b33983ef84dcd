"""Random numbers by seed, the same on every device and without torch.

The stream is that of torch's CPU generator: a 32-bit Mersenne Twister, of which a float takes the
lowest 24 bits.
"""

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.errors import StyleClipError, shown

MAX_SEED = 2**64 - 1


def check_seed(seed: object) -> int:
    """A seed as a Python int.

    Raises:
        StyleClipError: it is no whole number from 0 to MAX_SEED.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        number = int(seed)
        if 0 <= number <= MAX_SEED:
            return number
    raise StyleClipError(f"a seed is a whole number from 0 to {MAX_SEED}, not {shown(seed)}.")


class Random:
    """Seeded like ``torch.Generator().manual_seed(seed)``.

    Raises:
        StyleClipError: see `check_seed`.
    """

    def __init__(self, seed: int) -> None:
        self._twister = np.random.MT19937()
        self._twister._legacy_seeding(check_seed(seed) % 2**32)

    def uniform(self, *shape: int) -> NDArray[np.float32]:
        """float32 in [0, 1), as ``torch.rand(shape)``."""
        raw = self._twister.random_raw(int(np.prod(shape))) & 0xFFFFFF
        return (raw.astype(np.float32) * np.float32(2**-24)).reshape(shape)

    def signed(self, *shape: int) -> NDArray[np.float32]:
        """float32 in [-1, 1)."""
        return self.uniform(*shape) * 2 - 1

    def normal(self, count: int) -> NDArray[np.float32]:
        """float32 [count], standard normal (Box and Muller 1958), as ``torch.randn(count)`` for a
        `count` that is a multiple of 16, but for rounding."""
        pairs = self.uniform(count // 16, 2, 8).astype(np.float64)
        radius = np.sqrt(-2 * np.log1p(-pairs[:, 0]))
        angle = 2 * np.pi * pairs[:, 1]
        both = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
        return both.reshape(count).astype(np.float32)
