"""``styleclip info``."""

import click

from styleclip_rt import __version__


@click.command()
def info() -> None:
    """Show versions, devices, and which kernels and engines are here."""
    import torch

    from styleclip_rt import engines
    from styleclip_rt.ops import _library

    click.echo(f"styleclip-rt {__version__}, torch {torch.__version__}")
    compiled = f"yes ({_library.PATH})" if _library.load() else "no (slower reference ops)"
    click.echo(f"compiled ops: {compiled}")
    click.echo(f"threads: {torch.get_num_threads()}")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    click.echo(f"CUDA device: {cuda}")
    for name in engines.KINDS:
        missing = engines.why_missing(name)
        click.echo(f"engine {name}: {f'no ({missing})' if missing else 'yes'}")
