"""What an answer of HubSpot says is missing: a record, or the object as a whole."""

from __future__ import annotations

import pytest

from connectors.hubspot.errors import refusal_of

LOST = {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["17"]}}
IN_ERRORS = {"errors": [{"category": "OBJECT_NOT_FOUND", "context": {"fromObjectId": ["17"]}}]}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, LOST, True),
        (404, IN_ERRORS, True),
        (404, {"category": "OBJECT_NOT_FOUND"}, False),
        (404, None, False),
        (400, LOST, False),
    ],
)
def test_only_an_answer_that_names_records_says_that_they_are_gone(status: int, body: object, told: bool) -> None:
    assert refusal_of(status, body).names_records is told
