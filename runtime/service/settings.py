"""How a service is set up: its environment, a file, or arguments."""

import ipaddress
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from styleclip_rt.errors import StyleClipError
from styleclip_rt.folders import cache_folder

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names by which a service is called that listens on loopback alone."""
PREFIX = "STYLECLIP_SERVE_"

MIB = 1 << 20


class ServiceSettings(BaseSettings):
    """Each is a variable STYLECLIP_SERVE_NAME of the environment, a line of a TOML file, or an
    argument; an argument wins, then the environment.

    Attributes:
        host, port: where to listen.
        queue, long_queue: quick edits, and edits by the optimiser and inversions, that may wait.
        batch: quick edits drawn at once; 0: 1 on a CPU, where more gain nothing, 8 elsewhere.
        wait: seconds that a request is ready to wait if it does not say.
        body_bytes, photo_bytes: of a request, and of an uploaded photograph.
        photo_pixels: of a photograph.
        store: folder of photographs and results; one in the cache, if none is given.
        store_bytes: that it may hold.
        store_seconds: that a photograph or a result is kept.
        jobs: that are remembered.
        steps: of the optimiser, at most.
        connections: at once; fewer where the process may open fewer files.
        header_seconds, body_seconds, answer_seconds: for a client to send the head of a request,
            to send its body, and to take more of an answer.
        keep_alive_seconds: that a connection may rest between two requests.
        drain_seconds: for what is waiting, when the service is to end.
        api_keys: one of which requests must carry; none are asked for where there are none.
        rate, burst: requests a minute of one key (or address), 0 for no limit; and how many of
            them at once.
        cors_origins: pages of which other sites may use the service.
        allowed_hosts: names by which requests may call the service; any, if none is given.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    queue: int = Field(default=64, ge=1, le=10_000)
    long_queue: int = Field(default=8, ge=1, le=1000)
    batch: int = Field(default=0, ge=0, le=64)
    wait: float = Field(default=30, gt=0, le=3600)
    body_bytes: int = Field(default=MIB, ge=1024)
    photo_bytes: int = Field(default=32 * MIB, ge=1024)
    photo_pixels: int = Field(default=24_000_000, ge=48 * 48)
    store: Path | None = None
    store_bytes: int = Field(default=1024 * MIB, ge=MIB)
    store_seconds: float = Field(default=3600, gt=0)
    jobs: int = Field(default=1000, ge=10)
    steps: int = Field(default=300, ge=1)
    connections: int = Field(default=512, ge=8)
    header_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=60, gt=0)
    answer_seconds: float = Field(default=30, gt=0)
    keep_alive_seconds: int = Field(default=5, ge=1)
    drain_seconds: float = Field(default=30, ge=0)
    api_keys: tuple[SecretStr, ...] = ()
    rate: float = Field(default=0, ge=0)
    burst: int = Field(default=20, ge=1)
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()

    @property
    def store_folder(self) -> Path:
        """Where photographs and results lie."""
        return self.store or cache_folder() / "service"


def read_settings(path: Path | None = None, **arguments: object) -> ServiceSettings:
    """Settings of arguments that are not None, the environment and a TOML file; of a service that
    listens on loopback alone, LOOPBACK are the `allowed_hosts` if none are given.

    Raises:
        StyleClipError: the file cannot be read, or a value is unknown or out of range.
    """

    class Settings(ServiceSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = TomlConfigSettingsSource(settings_cls, path)
            return init_settings, env_settings, file

    if path is not None and not path.is_file():
        raise StyleClipError(f"there is no file {path}: give the TOML file of the settings.")
    try:
        given: dict[str, Any] = {k: v for k, v in arguments.items() if v is not None}
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "a setting"
        raise StyleClipError(
            f"the setting {name} of the service cannot be used: {first['msg'].lower()}."
        ) from None
    except (OSError, ValueError) as error:  # pydantic-settings raises what a reader raises
        raise StyleClipError(
            f"the settings of the service cannot be read: {' '.join(str(error).split())}."
        ) from None
    if settings.allowed_hosts or not _on_loopback(settings.host):
        return settings
    return settings.model_copy(update={"allowed_hosts": (*LOOPBACK, settings.host)})


def _on_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
