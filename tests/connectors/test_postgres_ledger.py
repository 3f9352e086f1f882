"""The ledger does not grow for ever: which entries go, and which stay."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from connectors.base import Fence, Outcome, Pair
from connectors.postgres import capture, tidy
from tests.connectors.contract import Log, create, only, opened, update
from tests.connectors.postgres_tools import PATIENCE, connector, run, uses


@pytest.fixture
def url(new_database: Callable[[int], str]) -> str:
    return new_database(16)


def links(url: str) -> set[str]:
    """The links that the ledger knows."""
    with psycopg.connect(url) as connection:
        return {link for (link,) in connection.execute("SELECT link FROM tandem.ledger").fetchall()}


@pytest.mark.parametrize("part", [5000, 2])
async def test_old_entries_go_when_their_record_is_gone_and_no_others(
    url: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "CHECK", 0.02)
    monkeypatch.setattr(tidy, "PART", part)
    monkeypatch.setattr(tidy, "EVERY", 0.0)
    run(
        url,
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "CREATE TABLE places (land text, no int, PRIMARY KEY (land, no))",
    )
    pair = Pair("deals", "shop", "sales", "7")
    async with opened(connector(url, *uses("t", "places"))) as account:
        cursor = await account.prepare()
        writes = [create(f"t{n}", {"id": n, "a": "x"}, pair=pair) for n in range(1, 6)]
        await account.apply("t", writes, Fence("commands-0", 1, 10))
        await account.apply(
            "places", [create("p1", {"land": "a,b", "no": 1}), create("p2", {"land": "50%", "no": 2})], None
        )
        run(url, "DELETE FROM t WHERE id IN (1, 2)", "DELETE FROM places WHERE no = 2")
        run(url, "UPDATE tandem.ledger SET updated = now() - interval '91 days' WHERE link NOT IN ('t2', 't5')")
        async with Log(account, cursor, PATIENCE) as log:
            for _ in range(400):
                await log.settled()
                if links(url) == {"t2", "t3", "t4", "t5", "p1"}:
                    break
            for _ in range(20):
                await log.settled()
        # The young stay, and those whose record is there; what a person deleted long ago is forgotten.
        assert links(url) == {"t2", "t3", "t4", "t5", "p1"}
        assert only(await account.read("t", ["3"])).pairs == (pair,), "the pair is remembered however old it is"
        # What was delivered before is still held off, and what comes after is done.
        (again,) = await account.apply("t", [writes[0]], Fence("commands-0", 2, 10))
        assert again.outcome is Outcome.RETRY
        (later,) = await account.apply("t", [update("t3", "3", {"a": "y"}, sequence=2)], Fence("commands-0", 2, 11))
        assert later.outcome is Outcome.APPLIED
        await account.release()
