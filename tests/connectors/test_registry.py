"""Finding connectors by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from connectors import registry
from connectors.base import FatalError
from connectors.postgres import PostgresConnector


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


def test_our_connectors_are_found_installed_or_not() -> None:
    assert registry.find("postgres") is PostgresConnector
    assert registry.find("postgres", installed=[]) is PostgresConnector
    assert "postgres" in registry.known()


def test_a_third_party_adds_one_and_may_replace_ours() -> None:
    theirs = entry("postgres", "connectors.memory:MemoryConnector")
    assert registry.find("postgres", installed=[theirs]).__name__ == "MemoryConnector"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(FatalError) as caught:
        registry.find("postgress")
    assert "did you mean postgres?" in caught.value.remedy
    assert "installed are:" in caught.value.remedy


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no.such.module:Thing", "cannot be loaded"),
        ("connectors.base:Nothing", "cannot be loaded"),
        ("connectors.base:Record", "is no connector"),
    ],
)
def test_one_that_is_broken_says_so(value: str, message: str) -> None:
    with pytest.raises(FatalError, match=message):
        registry.find("theirs", installed=[entry("theirs", value)])
