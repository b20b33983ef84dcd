"""``styleclip edit``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from styleclip_rt.cli.options import (
    Faces,
    engine_options,
    loop_options,
    networks_options,
    start_options,
)
from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.starts import Start


@click.command()
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@start_options
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--space", help="z, w, w+ or s.")
@click.option("--mode", help="edit, or generate: no tie to the start.")
@click.option("--clip-loss", "clip", help="absolute or directional.")
@click.option("--patience", type=int, help="Stop after so many steps without improvement.")
@click.option("--frames", "frames_every", type=int, default=0, help="Keep a draft every N steps.")
@click.option("--anyway", is_flag=True, help="Edit with words that CLIP has never seen, too.")
@loop_options
@networks_options
@engine_options
def edit(
    prompts: tuple[str, ...],
    faces: Faces,
    out: Path,
    frames_every: int,
    anyway: bool,
    bundle_name: str,
    device: str,
    precision: str,
    engine: str,
    exports: Path | None,
    **settings: Any,
) -> None:
    """Edit a face so that it looks like PROMPT; each prompt on each face, if there are several."""
    # Nothing here imports torch, so that an engine can do without.
    from styleclip_rt.files import check_writable
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.results import folder_names

    check_writable(out)
    faces.check_out(out)
    editor = Editor.from_bundle(bundle_name, device, precision, engine, exports)
    prompts = tuple(dict.fromkeys(prompts))
    _say_what_is_read(editor, prompts, anyway)
    starts = faces.read(editor.engine.networks, editor.settings.truncation_psi)
    jobs = [(prompt, number) for prompt in prompts for number in range(len(starts))]
    folders = [out]
    if len(jobs) > 1:
        labels = _labels(starts)
        folders = [
            out / name
            for name in folder_names([(prompt, labels[number]) for prompt, number in jobs])
        ]
    results = editor.edits(
        [prompt for prompt, _ in jobs],
        starts=[starts[number] for _, number in jobs],
        progress=True,
        frames_every=frames_every,
        truncation_psi=faces.truncation_psi,
        **settings,
    )
    interrupted = False
    for result, folder in zip(results, folders, strict=False):
        result.save(folder)
        interrupted |= result.interrupted
        click.echo(f"{result.prompt!r}: {folder / 'comparison.png'}")
    if interrupted:
        sys.exit(130)


def _labels(faces: "list[Start]") -> list[str]:
    """What tells the folder of a face: nothing where there is one that is not generated."""
    if len(faces) == 1 and faces[0].seed is None:
        return [""]
    return [f"face{i + 1}" if x.seed is None else f"seed{x.seed}" for i, x in enumerate(faces)]


def _say_what_is_read(editor: "Editor", prompts: tuple[str, ...], anyway: bool) -> None:
    """Say of which words CLIP knows nothing, and where it stops reading.

    Raises:
        StyleClipError: it knows none of the words of a prompt, and the edit is not wanted anyway.
    """
    from styleclip_rt.models.tokenizer import clean, part_read, words
    from styleclip_rt.runtime.prompts import check_prompt

    for prompt in prompts:
        check_prompt(prompt)
    for prompt, share in zip(prompts, editor.engine.known_text(prompts), strict=True):
        if share == 0 and not anyway:
            raise StyleClipError(
                f"this bundle's CLIP has never seen the words of {prompt!r}, so the edit would be "
                "a guess and may make another person: say it in other words, use a bundle with "
                "OpenAI's CLIP, or repeat it with --anyway."
            )
        if share is not None and share < 1:
            click.echo(
                f"note: this bundle's CLIP has seen {share:.0%} of the prompt's words in training; "
                "what it makes of the others is a guess.",
                err=True,
            )
        read = part_read(prompt, editor.engine.networks.context_length)
        if len(words(read)) < len(words(prompt)):
            click.echo(
                f"note: CLIP reads {clean(prompt)[:40]!r}... as far as {read[-40:]!r}; the rest is "
                "cut off.",
                err=True,
            )
