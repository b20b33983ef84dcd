"""Photographs: read, faces found and aligned, regions marked; see `read_picture`, `find_faces`."""

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.faces import Face, choose_faces, draw_found, find_faces
from styleclip_rt.photos.picture import Picture, read_picture

__all__ = [
    "Alignment",
    "Face",
    "Picture",
    "choose_faces",
    "draw_found",
    "find_faces",
    "read_picture",
]
