"""State dicts of facenet-pytorch's InceptionResnetV1, such as `20180402-114759-vggface2.pt`."""

import os
import re
from pathlib import Path

from styleclip_rt.checkpoints.layout import rename, shape_of, state_dict
from styleclip_rt.checkpoints.state import fill, keys_of, read_torch_file
from styleclip_rt.models.facenet import InceptionResnetV1, InceptionResnetV1Config

_NAMES = [
    (r"^stem\.0\.", "conv2d_1a."),
    (r"^stem\.1\.", "conv2d_2a."),
    (r"^stem\.2\.", "conv2d_2b."),
    (r"^stem\.4\.", "conv2d_3b."),
    (r"^stem\.5\.", "conv2d_4a."),
    (r"^stem\.6\.", "conv2d_4b."),
    (r"^stage_a\.", "repeat_1."),
    (r"^reduction_a\.", "mixed_6a."),
    (r"^stage_b\.", "repeat_2."),
    (r"^reduction_b\.", "mixed_7a."),
    (r"^stage_c\.5\.", "block8."),
    (r"^stage_c\.", "repeat_3."),
    (r"\.branches\.branches\.(\d)", r".branch\1"),
    (r"\.branches\.(\d)", r".branch\1"),
    (r"\.mix\.", ".conv2d."),
    (r"\.norm\.", ".bn."),
    (r"^head\.", "last_linear."),
    (r"^embedding_norm\.", "last_bn."),
]
"""Our module -> facenet-pytorch's, each applied in turn."""

_CLASSIFIER = ("logits.weight", "logits.bias")
"""The head over the training set's identities, which an embedding does not need."""


def read(path: str | os.PathLike[str]) -> InceptionResnetV1:
    """The network in `path`, without its classifier where it has one.

    Raises CheckpointError if the file is broken or not exactly such a network.
    """
    path = Path(path)
    state = state_dict(read_torch_file(path), path)
    for key in _CLASSIFIER:
        state.pop(key, None)
    embed_dim = shape_of(state, "last_linear.weight", 2, path)[0]
    config = InceptionResnetV1Config(embed_dim=embed_dim)
    keys = keys_of(lambda: InceptionResnetV1(config), len(state), path)
    renamed = rename(state, {key: [_their_name(key)] for key in keys}, path)
    return fill(lambda: InceptionResnetV1(config), renamed, path)


def _their_name(key: str) -> str:
    for ours, theirs in _NAMES:
        key = re.sub(ours, theirs, key)
    return key
