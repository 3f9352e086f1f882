"""What sync.yaml says of an account in memory and of its objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class MemorySettings(BaseModel):
    """An account's keys in sync.yaml."""

    model_config = ConfigDict(extra="forbid")
    app: str  # as given to `make_app`
    page_size: int = 1000
    heartbeat: float = 1.0  # seconds between heartbeats of a quiet log


class MemoryObjectSettings(BaseModel):
    """What sync.yaml may say of an object."""

    model_config = ConfigDict(extra="forbid")
    table: str | None = None  # the app's own name
    exclude: tuple[str, ...] = ()  # fields never read
    merged_into: str | None = None  # a field that names the survivor when this record was merged into another
