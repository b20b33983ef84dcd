"""``python -m recipes``: how every file of weights that ships was made."""

import click

from recipes import (
    draft_heads,
    face_clip,
    face_clip_tokens,
    face_id,
    look_directions,
    mappers,
    phone_pictures,
    photo_encoder,
    photo_networks,
    probes,
    region_prior,
    training_faces,
)
from recipes.hair_colours import recipe as hair_colours
from recipes.look_words import recipe as look_words
from recipes.looks import recipe as looks
from styleclip_rt.cli import run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def recipes() -> None:
    """How every file of weights that ships was made, one recipe a file (recipes/README.md)."""


for command in (
    draft_heads.recipe,
    training_faces.recipe,
    face_clip.recipe,
    face_clip_tokens.recipe,
    region_prior.recipe,
    face_id.recipe,
    look_directions.recipe,
    looks.recipe,
    look_words.recipe,
    mappers.red_lipstick,
    mappers.old,
    mappers.smiling,
    mappers.train_painted,
    hair_colours.recipe,
    hair_colours.fit,
    hair_colours.correct,
    photo_encoder.recipe,
    photo_networks.recipe,
    probes.recipe,
    phone_pictures.recipe,
):
    recipes.add_command(command)

if __name__ == "__main__":
    run(recipes)
