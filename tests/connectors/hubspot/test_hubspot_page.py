"""The page of the connector says what is so: its calls, its settings."""

from __future__ import annotations

from pathlib import Path

from bench.hubspot import measure
from connectors.hubspot.settings import HubSpotSettings
from connectors.hubspot.standard import RELATIONS, STANDARD
from tests.connectors.hubspot.fake.process import Fake

PAGE = (Path(__file__).parents[3] / "docs" / "connectors" / "hubspot.md").read_text(encoding="utf-8")


async def test_the_calls_are_those_that_are_counted(fake: Fake) -> None:
    assert await measure(fake, 1000) in PAGE, "run python -m bench.hubspot, and put what it prints into the page"


def test_every_setting_and_object_and_association_is_named() -> None:
    names = {
        *HubSpotSettings.model_fields,
        *STANDARD,
        *(one.field for relations in RELATIONS.values() for one in relations),
    }
    assert [name for name in sorted(names - {"url"}) if f"`{name}" not in PAGE] == []
