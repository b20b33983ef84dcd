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
    from collections.abc import Sequence

    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.results import EditResult
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
@click.option("--plain", is_flag=True, help="By the optimiser alone, without looks.")
@click.option("--anyway", is_flag=True, help="Edit with words that CLIP has never seen, too.")
@loop_options
@networks_options
@engine_options
def edit(
    prompts: tuple[str, ...],
    faces: Faces,
    out: Path,
    frames_every: int,
    plain: bool,
    anyway: bool,
    bundle_name: str,
    device: str,
    precision: str,
    engine: str,
    exports: Path | None,
    **settings: Any,
) -> None:
    """Edit a face so that it looks like PROMPT; each prompt on each face, if there are several.

    Looks that a PROMPT names, as "red hair and a slight smile" does, are applied (`styleclip looks`
    lists them); the optimiser makes what no look covers, and all of it with --plain or where its
    steps, space, weights and so on are given.

    Several faces of a photograph come in one picture of it. With --face N for each of them, the
    first PROMPT is for the first: --face 1 "red hair" --face 2 "smiling".
    """
    # Nothing here imports torch, so that an engine can do without.
    from styleclip_rt.files import check_writable
    from styleclip_rt.runtime.editor import Editor, asks_for_optimiser
    from styleclip_rt.runtime.results import check_spared, folder_names

    plain |= asks_for_optimiser(settings)
    check_writable(out)
    check_spared(faces.image, out)
    shares = faces.shares(len(prompts), "prompt")
    if shares is not None and len(shares) < len(prompts):
        raise StyleClipError("a face is named twice: say all that it should be in one prompt.")
    editor = Editor.from_bundle(bundle_name, device, precision, engine, exports)
    each_once = tuple(dict.fromkeys(prompts))
    _say_what_is_read(editor, each_once, plain, anyway)
    starts = faces.read(editor.engine.networks, editor.settings.truncation_psi)
    if faces.image is not None and len(starts) > 1:
        wanted: list[str | tuple[str, ...]] = [*each_once] if shares is None else [prompts]
        _edit_together(
            editor,
            wanted,
            starts,
            out,
            plain=plain,
            progress=True,
            frames_every=frames_every,
            **settings,
        )
        return
    prompts = each_once
    jobs = [(prompt, number) for prompt in prompts for number in range(len(starts))]
    folders = [out]
    if len(jobs) > 1:
        labels = _labels(starts)
        folders = [
            out / name
            for name in folder_names([(prompt, labels[number]) for prompt, number in jobs])
        ]
    for folder in folders:
        check_spared(faces.image, folder)
    results = editor.edits(
        [prompt for prompt, _ in jobs],
        starts=[starts[number] for _, number in jobs],
        plain=plain,
        progress=True,
        frames_every=frames_every,
        truncation_psi=faces.truncation_psi,
        **settings,
    )
    interrupted = False
    for result, folder in zip(results, folders, strict=False):
        result.save(folder)
        interrupted |= result.interrupted
        click.echo(f"{result.prompt!r}{_made(result)}: {folder / 'comparison.png'}")
    if interrupted:
        sys.exit(130)


def _edit_together(
    editor: "Editor",
    wanted: "Sequence[str | tuple[str, ...]]",
    starts: "list[Start]",
    out: Path,
    **settings: Any,
) -> None:
    """Edit all faces of a photograph in one picture, for each prompt, or each by a prompt of its
    own."""
    from styleclip_rt.runtime.results import check_spared, folder_names, parameters, save_group

    assert starts[0].scene is not None and starts[0].scene.file is not None

    titles = [x if isinstance(x, str) else ", ".join(dict.fromkeys(x)) for x in wanted]
    names = folder_names([(title, "") for title in titles])
    folders = [out] if len(names) == 1 else [out / name for name in names]
    for folder in folders:
        check_spared(starts[0].scene.file.path, folder)
    for prompts, title, folder in zip(wanted, titles, folders, strict=True):
        group = editor.edit_together(prompts, starts, **settings)
        known: dict[str, object] = {"faces": [parameters(face) for face in group.faces]}
        save_group(group, editor.engine.networks.fingerprint, folder, title, known)
        made = " |".join(dict.fromkeys(map(_made, group.faces)))
        click.echo(f"{title!r}{made}: {folder / 'comparison.png'}")
        if any(face.interrupted for face in group.faces):
            sys.exit(130)


def _labels(faces: "list[Start]") -> list[str]:
    """What tells the folder of a face: nothing where there is one that is not generated."""
    if len(faces) == 1 and faces[0].seed is None:
        return [""]
    return [f"face{i + 1}" if x.seed is None else f"seed{x.seed}" for i, x in enumerate(faces)]


def _made(result: "EditResult") -> str:
    """What was understood of a prompt: " (red hair 1; by the optimiser: beard)"."""
    if not result.looks:
        return ""
    rest = f"; by the optimiser: {result.rest}" if result.rest else ""
    return f" ({result.looks}{rest})"


def _say_what_is_read(
    editor: "Editor", prompts: tuple[str, ...], plain: bool, anyway: bool
) -> None:
    """Say for which words there is no look, of which CLIP knows nothing, and where it stops
    reading.

    Raises:
        StyleClipError: it knows none of the words of a prompt, and the edit is not wanted anyway.
    """
    from styleclip_rt.models.tokenizer import clean, part_read, words
    from styleclip_rt.runtime.prompts import check_prompt

    for prompt in prompts:
        check_prompt(prompt)
    left = (_left_to_clip(editor, prompt, plain, anyway) for prompt in prompts)
    prompts = tuple(text for text in left if text)
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


def _left_to_clip(editor: "Editor", prompt: str, plain: bool, anyway: bool) -> str:
    """What the optimiser is asked for; "" where looks make all of it. Says so."""
    reading = None if plain else editor.reading(prompt)
    if reading is None:
        return prompt
    if reading.absent:
        away = " and ".join(reading.absent)
        if not reading.looks and not reading.rest and not anyway:
            raise StyleClipError(
                f"nothing here makes {away!r}: the optimiser would rather do the opposite; say "
                "what the face should have, or add --anyway to see."
            )
        click.echo(f"note: nothing here makes {away!r}: it is left out.", err=True)
    if not reading.looks:
        click.echo(f"note: no look is named by {prompt!r}: the optimiser makes it.", err=True)
        return prompt
    rest = reading.rest
    if rest and editor.engine.known_text([rest]) == [0]:
        click.echo(
            f"note: there is no look for {rest!r}, nor does this bundle's CLIP know its words: "
            "it is left out.",
            err=True,
        )
        return ""
    if rest:
        click.echo(f"note: there is no look for {rest!r}: the optimiser makes it.", err=True)
    return rest
