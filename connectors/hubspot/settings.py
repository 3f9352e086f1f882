"""What sync.yaml says of a HubSpot account and of its objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class HubSpotSettings(BaseModel):
    """An account of connector `hubspot`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr | None = Field(default=None, description="A service key or the access token of a private app")
    client_id: str | None = Field(default=None, description="With client_secret and refresh_token, in place of a token")
    client_secret: SecretStr | None = Field(default=None, description="The app's secret")
    refresh_token: SecretStr | None = Field(default=None, description="OAuth: what new access tokens are got with")
    url: str = Field(
        default="https://api.hubapi.com", description="Another address than HubSpot's own, such as the fake's"
    )
    poll: float | None = Field(
        default=None, gt=0, description="Seconds between two searches; absent: 5, or as short as the budget allows"
    )
    index_lag: float = Field(
        default=120.0,
        ge=0,
        description="Seconds for which HubSpot's search index may lag behind: windows overlap by it",
    )
    archived_every: float = Field(default=30.0, gt=0, description="Seconds between two looks at the archived records")
    scan_every: float = Field(
        default=3600.0,
        gt=0,
        description="Seconds between two scans of all ids, for what neither search nor archive shows",
    )
    associations_every: float | None = Field(
        default=None, gt=0, description="Seconds between two reads of associations; absent: as `poll`"
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="The part of the account's limits that this process may use"
    )
    daily: int = Field(
        default=250_000, gt=0, description="Calls a day that the account allows, where its answers do not say"
    )
    searches: int = Field(default=5, gt=0, description="Searches a second that the account allows")
    owners: dict[str, str] = Field(
        default={}, description="Owners as the other side names them: the email of the owner in HubSpot"
    )
    journal: bool = Field(
        default=False,
        description="Read the Webhooks Journal of the project app whose client_id and client_secret are given",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> HubSpotSettings:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.token is None and None in oauth:
            raise ValueError("give a token, or client_id, client_secret and refresh_token")
        if self.journal and (self.client_id is None or self.client_secret is None):
            raise ValueError("the journal needs client_id and client_secret of a project app")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("the url begins with https:// (or http://)")
        return self


class HubSpotObjectSettings(BaseModel):
    """An object of such an account, under `objects`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str | None = Field(
        default=None,
        description="HubSpot's name or type id of the object (contacts, 2-1234); absent: the object's own name",
    )
    exclude: tuple[str, ...] = Field(default=(), description="Properties that are never read")
