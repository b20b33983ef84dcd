"""``styleclip info``."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import click

from styleclip_rt import __version__


@click.command()
def info() -> None:
    """Show versions, devices, threads and precision, and which kernels and engines are here."""
    from styleclip_rt import engines

    torch = _version_of_torch()
    if torch is None:
        click.echo(f"styleclip-rt {__version__}, without torch")
    else:
        _say_what_torch_has(torch)
    for name in engines.KINDS:
        missing = engines.why_missing(name)
        click.echo(f"engine {name}: {f'no ({missing})' if missing else 'yes'}")


def _version_of_torch() -> ModuleType | None:
    """What torch says of its build, in the module ``torch.version``, without the second that
    loading torch takes; None where it is not here."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    path = Path(torch.origin).with_name("version.py")
    spec = importlib.util.spec_from_file_location("torch_version", path)
    assert spec is not None and spec.loader is not None
    version = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(version)
    return version


def _say_what_torch_has(version: ModuleType) -> None:
    from styleclip_rt import compiled, threads

    # What the GPU is, and whether ops of another build fit, only torch itself can tell.
    gpus = version.cuda is not None or getattr(version, "hip", None) is not None
    other_build = compiled.built_for_torch() != version.__version__
    here = compiled.OP_LIBRARY.is_file()
    if gpus or (here and other_build):
        from styleclip_rt.ops import _library

        here = _library.load()
    click.echo(f"styleclip-rt {__version__}, torch {version.__version__}")
    click.echo(
        f"compiled ops: {f'yes ({compiled.OP_LIBRARY})' if here else 'no (slower reference ops)'}"
    )
    precision, cuda = compiled.cpu_precision(), "none"
    takes = "torch takes no more"
    if "torch" in sys.modules:
        import torch

        from styleclip_rt.devices import automatic_precision, choose_device

        precision = automatic_precision(choose_device("auto"))
        takes = f"torch uses {torch.get_num_threads()}"
        if torch.cuda.is_available():
            cuda = torch.cuda.get_device_name()
    chosen = threads.chosen()
    click.echo(f"threads: {chosen.number} ({chosen.why}); {takes}")
    click.echo(f"waiting threads: {threads.how_they_wait()}")
    isa = compiled.instruction_set()
    click.echo(f"instruction set: {isa.name} ({isa.why})")
    click.echo(f"CUDA device: {cuda}")
    click.echo(f"precision auto: {precision.name} ({precision.why})")
