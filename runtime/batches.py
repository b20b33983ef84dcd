"""How many faces are edited at once. Needs no torch."""

from pathlib import Path

BYTES_A_PIXEL = 4600
"""Of memory that one face takes for each pixel of its draft: measured with the default bundle at
256 px (0.3 GB); a StyleGAN2 takes less."""

ASSUMED = 4 << 30
"""Bytes of free memory where the system does not tell."""

MOST = 16


def faces_at_once(draft: int, free: int | None = None) -> int:
    """How many faces fit into half of the memory that is free.

    Args:
        draft: pixels a side of what the loop draws.
        free: bytes; as the system says, if not given.

    Returns:
        1 to MOST.
    """
    room = (free_memory() if free is None else free) // 2
    return min(MOST, max(1, room // (BYTES_A_PIXEL * draft * draft)))


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, or of its container where that is
    less."""
    amounts = [_of_the_machine(), _of_the_container()]
    return min((amount for amount in amounts if amount is not None), default=ASSUMED)


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(x.split()[1]) << 10 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _of_the_container() -> int | None:
    """By the limits of control groups, version 2 and 1."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # version 2 says "max" where there is no limit
            continue
    return None
