"""What requests and answers hold."""

from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from styleclip_rt.editing.schedule import MAX_PROMPT_LENGTH
from styleclip_rt.random_numbers import MAX_SEED
from styleclip_rt.runtime.moves import MAX_STRENGTH

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Prompt = Annotated[str, StringConstraints(max_length=MAX_PROMPT_LENGTH)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Size = Literal["full", "draft"]
Quality = Literal["fast", "best"]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class MoveRequest(_Strict):
    """One change: a mapper and its prompt, or a look by its name alone."""

    mapper: Name | None = Field(None, description="One of /v1/mappers.", examples=["smiling"])
    look: Name | None = Field(None, description="One of /v1/looks.", examples=["red hair"])
    prompt: Prompt = Field("", description="Of a mapper that has several.")
    strength: float = Field(
        1.0,
        ge=-MAX_STRENGTH,
        le=MAX_STRENGTH,
        description="0 changes nothing, 1 is as measured or trained; many looks go below 0 too.",
    )

    @model_validator(mode="after")
    def _one(self) -> "MoveRequest":
        if (self.mapper is None) == (self.look is None):
            raise ValueError("a move has either a mapper or a look")
        if self.look is not None and self.prompt:
            raise ValueError("a look takes no prompt")
        return self


class Optimiser(_Strict):
    """Settings of a free text that differ from the bundle's."""

    steps: int | None = Field(None, ge=1, le=100_000)
    l2: float | None = Field(None, ge=0, le=1e9)
    id: float | None = Field(None, ge=0, le=1e9)
    preserve: float | None = Field(None, ge=0, le=1e9)
    lead: float | None = Field(None, ge=0, le=100)


class _Wish(_Strict):
    """What is to become of a face."""

    moves: list[MoveRequest] = Field(default_factory=list, max_length=32)
    prompt: Prompt | None = Field(
        None,
        description="Any text: looks that it names, in no time; else seconds of optimiser steps.",
    )
    optimiser: Optimiser | None = None
    any_prompt: bool = Field(
        False, description="Let mappers mix what they know for prompts they were not trained for."
    )
    size: Size = Field("full", description="Of the picture; a draft is small and quick.")

    @model_validator(mode="after")
    def _moves_or_prompt(self) -> "_Wish":
        if self.prompt is not None and self.moves:
            raise ValueError("give moves or a prompt, not both")
        return self


class PhotoEdit(_Wish):
    """What is to become of a photograph that is sent along."""

    face: Annotated[int, Field(ge=1, le=999)] | Literal["largest"] = Field(
        "largest", description="largest, or 1, 2, ... from the left."
    )
    quality: Quality = Field("fast", description="Of the inversion.")


class EditRequest(_Wish):
    """A face and what is to become of it: moves, or a free text for the optimiser, or nothing, and
    then the face is drawn as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"seed": 7, "moves": [{"mapper": "smiling", "strength": 0.8}]},
                {"seed": 7, "prompt": "red lipstick"},
            ]
        }
    )

    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of a generated face.")
    latent: Base64Bytes | None = Field(
        None, description="A latent.safetensors of one face, in base64."
    )
    latent_id: Id | None = Field(None, description="Of /v1/latents, or of a job that is done.")
    photo: Id | None = Field(None, description="Of /v1/photos.")

    @model_validator(mode="after")
    def _one_face(self) -> "EditRequest":
        starts = (self.seed, self.latent, self.latent_id, self.photo)
        if sum(start is not None for start in starts) != 1:
            raise ValueError("give one of seed, latent, latent_id and photo")
        return self


class Mapper(BaseModel):
    """A mapper that is loaded."""

    name: str
    prompts: list[str] = Field(description="None where its file does not say.")


class Mappers(BaseModel):
    """What `moves` can have."""

    mappers: list[Mapper]
    refused: dict[str, str] = Field(description="Mappers that cannot be served, and why.")


class Look(BaseModel):
    """A change that has a name of its own."""

    name: str
    mapper: str
    prompt: str
    least: float = 0.0
    most: float = MAX_STRENGTH
    less: str | None = Field(
        default=None, description="What it is called below 0; its strength is turned."
    )
    says: list[str] = Field(default_factory=list, description="Other phrases that mean it.")
    listed: bool = Field(default=False, description="Whether `styleclip look` knows it.")
    says_less: list[str] = Field(default_factory=list, description="And that mean less of it.")


class Looks(BaseModel):
    """What a page can make sliders of."""

    looks: list[Look]


class About(BaseModel):
    """What this service can do."""

    version: str
    bundle: str
    resolution: int = Field(description="Of a face at full size, in px.")
    draft_resolution: int = Field(description="0 where there are no drafts.")
    max_strength: float = MAX_STRENGTH
    photos: bool
    prompts: bool = Field(description="Whether free text can be optimised for.")
    photo_bytes: int
    photo_pixels: int


class Job(BaseModel):
    """Work that takes a while."""

    id: Id
    kind: str
    state: State
    step: int = 0
    steps: int = Field(0, description="0 until they are known.")
    seconds_left: float | None = Field(None, description="Estimated, while it waits or runs.")
    note: str | None = Field(None, description="What is doubtful about it, in one sentence.")
    detail: str | None = Field(None, description="Why it failed, in one sentence.")
    result: str | None = Field(None, description="Path of the picture or photograph, once done.")


class Box(BaseModel):
    """In pixels of the upright photograph."""

    left: float
    top: float
    right: float
    bottom: float


class Photo(BaseModel):
    """A photograph that was uploaded."""

    id: Id
    state: State
    job: Id = Field(description="Of its inversion; edits of it wait for that.")
    width: int
    height: int
    face: Box | None = Field(None, description="The face that is edited, once it is inverted.")
    faces: list[Box] = Field(
        default_factory=list,
        description="All faces, from the left, once it is inverted; `?face=2` takes the second.",
    )
    turned: float | None = Field(None, description="Degrees; from 25 on edits may come out badly.")
    expires: float = Field(description="Seconds since 1970 at which it will be deleted.")
    detail: str | None = Field(None, description="Why it failed, in one sentence.")


class Latent(BaseModel):
    """A latent that was sent."""

    id: Id
    expires: float


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
