from pathlib import Path

import pytest
import torch

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint, style_channels
from styleclip_rt.models.looks import StyleDirections, StyleDirectionsConfig
from styleclip_rt.models.moves import fits
from tests.tiny import tiny_generator


def test_looks_add_up_and_survive_a_file(tmp_path: Path) -> None:
    generator = tiny_generator()
    channels = style_channels(generator)
    looks = StyleDirections(StyleDirectionsConfig(channels, ("smiling", "old"), region=4))
    with torch.no_grad():
        looks.directions.normal_().copy_(looks.directions.half())
    path = tmp_path / "looks.safetensors"
    mapper_file.save(looks.half(), path, mapper_file.Origin("tiny", fingerprint(generator)))
    read, origin = mapper_file.load(path)
    assert isinstance(read, StyleDirections) and fits(read, generator)
    assert origin.generator == fingerprint(generator)
    both = torch.cat(read.offset([], read.texts[:1] + 0.5 * read.texts[1:]), dim=1)
    torch.testing.assert_close(both[0], read.directions[0] + 0.5 * read.directions[1])


@pytest.mark.parametrize("prompts", [(), ("old", "old"), ("",)])
def test_names_that_no_look_has(prompts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="looks have names"):
        StyleDirectionsConfig((4,), prompts)
