"""What every recipe says at its end: what it made, from what, in how long."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import click
import torch

import styleclip_rt
from styleclip_rt.files import replacing

_PACKAGE = Path(styleclip_rt.__file__).parent


class Report:
    """Counts the time from when it is made; a recipe makes it first."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def made(self, *files: Path, source: str, figures: Mapping[str, float] | None = None) -> None:
        """Say what was made of what; what is said is kept beside the files in `report.json`."""
        seconds = time.perf_counter() - self._started
        found = {name: round(value, 4) for name, value in (figures or {}).items()}
        said = {
            "made": {str(path): _beside_the_shipped(path) for path in files},
            "from": source,
            "figures": found,
            "seconds": round(seconds, 1),
            "on": _machine(),
        }
        with replacing(files[0].with_name("report.json")) as temporary:
            temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        for name, value in found.items():
            click.echo(f"{name}: {value}")
        for path in files:
            size = path.stat().st_size / 1e6
            click.echo(f"made {path} ({size:.2f} MB; {_beside_the_shipped(path)})")
        click.echo(f"from {source}")
        click.echo(f"in {_duration(seconds)}, on {_machine()}")


def _beside_the_shipped(path: Path) -> str:
    shipped = next((p for p in _PACKAGE.rglob(path.name) if "weights" in p.parts), None)
    if shipped is None:
        return "none of its name ships"
    same = shipped.read_bytes() == path.read_bytes()
    return "the bytes of the file that ships" if same else "other bytes than the file that ships"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{torch.get_num_threads()} CPU threads ({capability})"
