"""`make hubspot-live` says what it does; here it runs against the fake."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.connectors.hubspot.fake.process import Fake
from tests.connectors.hubspot.hubspot_bench import HubSpotBench

RUN = [sys.executable, "-m", "tests.connectors.hubspot_live"]
CASES = ["a_create_sent_again_makes_no_second_record", "what_was_there_and_what_was_told_is_not_told_again"]


def test_without_a_token_it_says_so_and_does_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBSPOT_")}
    done = subprocess.run(RUN, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "skipped" in done.stdout, "HUBSPOT_TOKEN" in done.stdout) == (0, True, True)


def test_with_a_token_it_runs_the_contract_and_leaves_nothing_behind(fake: Fake) -> None:
    bench = HubSpotBench(fake)
    given = {"HUBSPOT_TOKEN": fake.token, "HUBSPOT_URL": fake.url, "HUBSPOT_OBJECT": bench.type_id}
    done = subprocess.run(
        [*RUN, *CASES], env=os.environ | given, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hubspot-live: 2 cases passed and 0 failed on portal 4242001" in done.stdout
    assert fake.token not in done.stdout + done.stderr
    assert fake.sql("SELECT count(*) FROM records WHERE object = 'people' AND NOT archived") == [(0,)]
