"""``styleclip serve``: edits by mapper over HTTP."""

from pathlib import Path

import click

from styleclip_rt.cli.options import bundle_option, device_option, engine_options
from styleclip_rt.errors import StyleClipError


@click.command()
@click.argument("mappers", nargs=-1, metavar="[MAPPER]...")
@bundle_option
@device_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@engine_options
@click.option("--draft", is_flag=True, help="Draw smaller images, for previews.")
def serve(
    mappers: tuple[str, ...],
    bundle_name: str,
    device: str,
    host: str,
    port: int,
    engine: str,
    exports: Path | None,
    draft: bool,
) -> None:
    """Edit faces over HTTP with MAPPERs: names of `mapper list`, or files, which are then called by
    their file's name; all that ship, if none is given (extra: serve).
    """
    try:
        import uvicorn

        from styleclip_rt.runtime.service import create_app
    except ImportError:
        raise StyleClipError(
            "serving needs the extra: pip install 'styleclip-rt[serve]'."
        ) from None
    from styleclip_rt.runtime.mapper import MapperRuntime

    if engine != "torch":
        if not mappers:
            raise StyleClipError(f"say which mappers engine {engine} is to serve.")
        # Nothing here imports torch.
        runtime = MapperRuntime(bundle_name, mappers, device, engine, exports, draft)
        uvicorn.run(create_app(runtime), host=host, port=port)
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
    app = create_app(MapperRuntime(bundle, files, device, draft=draft), refused)
    uvicorn.run(app, host=host, port=port)
