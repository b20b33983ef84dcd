"""``styleclip info``."""

import importlib.util

import click

from styleclip_rt import __version__


@click.command()
def info() -> None:
    """Show versions, devices, threads and precision, and which kernels and engines are here."""
    from styleclip_rt import engines

    if importlib.util.find_spec("torch") is None:
        click.echo(f"styleclip-rt {__version__}, without torch")
    else:
        _say_what_torch_has()
    for name in engines.KINDS:
        missing = engines.why_missing(name)
        click.echo(f"engine {name}: {f'no ({missing})' if missing else 'yes'}")


def _say_what_torch_has() -> None:
    import torch

    from styleclip_rt import threads
    from styleclip_rt.devices import automatic_precision, choose_device, instruction_set
    from styleclip_rt.ops import _library

    click.echo(f"styleclip-rt {__version__}, torch {torch.__version__}")
    compiled = f"yes ({_library.PATH})" if _library.load() else "no (slower reference ops)"
    click.echo(f"compiled ops: {compiled}")
    device = choose_device("auto")
    chosen = threads.chosen()
    click.echo(f"threads: {chosen.number} ({chosen.why}); torch uses {torch.get_num_threads()}")
    click.echo(f"waiting threads: {threads.how_they_wait()}")
    isa = instruction_set()
    click.echo(f"instruction set: {isa.name} ({isa.why})")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    click.echo(f"CUDA device: {cuda}")
    precision = automatic_precision(device)
    click.echo(f"precision auto: {precision.name} ({precision.why})")
