"""The HubSpot connector passes the contract suite over the fake."""

from __future__ import annotations

import pytest

from tests.connectors.contract import CASES, cases_for
from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.hubspot_bench import HubSpotBench


@pytest.mark.parametrize("name", cases_for(HubSpotBench))
async def test_the_connector_keeps_the_contract(name: str, fake: Fake) -> None:
    await CASES[name].run(HubSpotBench(fake))
