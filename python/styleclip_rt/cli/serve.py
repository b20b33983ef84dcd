"""``styleclip serve``: edits by mapper over HTTP."""

from pathlib import Path

import click

from styleclip_rt.cli.options import bundle_option, device_option, engine_options
from styleclip_rt.errors import StyleClipError


@click.command()
@click.argument("mappers", nargs=-1, metavar="[MAPPER]...")
@bundle_option
@device_option
@click.option("--host", help="Where to listen: 127.0.0.1, unless the settings say otherwise.")
@click.option("--port", type=click.IntRange(1, 65535), help="8000, unless the settings say so.")
@engine_options
@click.option("--draft", is_flag=True, help="Draw smaller images, for previews.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    help="TOML file of the service's settings; docs/SERVICE.md lists them.",
)
def serve(
    mappers: tuple[str, ...],
    bundle_name: str,
    device: str,
    host: str | None,
    port: int | None,
    engine: str,
    exports: Path | None,
    draft: bool,
    settings_file: Path | None,
) -> None:
    """Edit faces over HTTP with MAPPERs: names of `mapper list`, or files, which are then called by
    their file's name; all that ship, if none is given (extra: serve).
    """
    try:
        from styleclip_rt.runtime.service import create_app
        from styleclip_rt.runtime.service.server import run
        from styleclip_rt.runtime.service.settings import read_settings
    except ImportError:
        raise StyleClipError(
            "serving needs the extra: pip install 'styleclip-rt[serve]'."
        ) from None
    from styleclip_rt.runtime.mapper import MapperRuntime

    settings = read_settings(settings_file, host=host, port=port)
    if engine != "torch":
        if not mappers:
            raise StyleClipError(f"say which mappers engine {engine} is to serve.")
        # Nothing here imports torch.
        runtime = MapperRuntime(bundle_name, mappers, device, engine, exports, draft)
        run(create_app(runtime, settings=settings), settings)
        return
    from styleclip_rt.bundle import load_bundle
    from styleclip_rt.bundle.mappers import find, load_for, shipped

    bundle = load_bundle(bundle_name)
    refused = {}
    if mappers:
        files = {Path(name).stem: find(name) for name in mappers}
        if len(files) < len(mappers):
            raise StyleClipError(
                "two of the mappers have the same name, by which requests call them: rename a file."
            )
    else:
        files = shipped()
        for name, path in shipped().items():
            try:
                load_for(bundle, path, name)
            except StyleClipError as error:
                refused[name] = str(error)
                del files[name]
    runtime = MapperRuntime(bundle, files, device, draft=draft)
    run(create_app(runtime, refused, settings), settings)
