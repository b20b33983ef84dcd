"""Photographs: read, faces found and aligned, regions marked; see `read_picture`, `find_faces`."""

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.faces import Face, choose_faces, draw_found, find_faces
from styleclip_rt.photos.picture import Picture, read_picture
from styleclip_rt.photos.regions import REGIONS, find_regions

__all__ = [
    "REGIONS",
    "Alignment",
    "Face",
    "Picture",
    "choose_faces",
    "draw_found",
    "find_faces",
    "find_regions",
    "read_picture",
]
