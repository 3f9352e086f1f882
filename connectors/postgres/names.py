"""The names that Tandem gives to what it makes in a server: slot, publication, ledger schema. Pure."""

from __future__ import annotations

import hashlib
import re

SCHEMA = "tandem"
PREFIX = "tandem_"
MESSAGE_PREFIX = "tandem"  # of the messages that mark our own transactions in the log
MARK_PREFIX = "tandem.mark"
APPLICATION = "tandem"

_LIMIT = 63  # NAMEDATALEN - 1


def slot_name(installation: str, account: str) -> str:
    """`tandem_<installation>_<account>`, in what a slot's name may hold: a-z, 0-9 and `_`, 63 characters.

    Where that would not be unique (cut, other characters, or an installation with `_` in it, which could be read in two ways) a hash of
    both names follows.
    """
    plain = f"{PREFIX}{installation}_{account}"
    name = re.sub(r"[^a-z0-9_]", "_", plain.lower())
    if name == plain and len(name) <= _LIMIT and "_" not in installation:
        return name
    digest = hashlib.sha256(f"{installation}\0{account}".encode()).hexdigest()[:8]
    return f"{name[: _LIMIT - 9]}_{digest}"


def format_lsn(position: int) -> str:
    """A log position as PostgreSQL writes it: `16/B374D848`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    """The inverse of `format_lsn`."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


def quote(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text for SQL where no parameter can stand (utility statements); standard_conforming_strings is on in our sessions."""
    return "'" + text.replace("'", "''") + "'"
