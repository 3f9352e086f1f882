"""Identifiers: what makes two records the same person, company or thing (semantics, section 2).

Responsible for the normal form of an identifier per type; two are equal when their normal forms are. Must not know
records, syncs or indexes. Runs for every record that passes, so the common forms take a fast path.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from unicodedata import category, normalize

import idna

from rules.catalog import Value


class IdentifierType(StrEnum):
    """How an identifier is compared."""

    EMAIL = "email"  # trimmed, case-folded; must be a valid address
    DOMAIN = "domain"  # host only: no scheme, www., path, port or trailing dot; IDNA
    NAME = "name"  # trimmed, spaces collapsed, case-folded
    SKU = "sku"  # trimmed
    EXACT = "exact"  # as it is


# The types that a kind expects, in the order worth trying. `exact` suits every kind, `custom` takes any.
EXPECTED: dict[str, tuple[IdentifierType, ...]] = {
    "contact": (IdentifierType.EMAIL,),
    "lead": (IdentifierType.EMAIL,),
    "company": (IdentifierType.EMAIL, IdentifierType.DOMAIN, IdentifierType.NAME),
    "product": (IdentifierType.SKU, IdentifierType.NAME),
    "deal": (),
    "invoice": (),
    "ticket": (),
    "activity": (),
    "custom": tuple(IdentifierType),
}


def normalise(type: IdentifierType | str, value: Value) -> str | None:
    """The normal form; None where the value is empty or identifies nothing (invalid email, domain without a dot)."""
    if value is None:
        return None
    if not isinstance(value, str):
        if isinstance(value, list):
            return None
        value = str(value).lower() if isinstance(value, bool) else str(value)
    return _NORMALISE[type](value)


def same_identifier(type: IdentifierType | str, a: Value, b: Value) -> bool:
    """Whether both are usable and equal after normalisation."""
    normal = normalise(type, a)
    return normal is not None and normal == normalise(type, b)


def fold(text: str) -> str:
    """Case-folded and NFC, such that folding again changes nothing (Unicode D145: decompose before folding)."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold())


# ---------------------------------------------------------------- per type

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TOP = r"(?![0-9]+$)" + _LABEL  # an all-numeric end is an IP address
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_TOP}")
_PLAIN_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_PLAIN_HOST = re.compile(rf"(?:[a-z0-9_](?:[a-z0-9_-]{{0,61}}[a-z0-9_])?\.)+{_TOP}")
_PLAIN_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_LONGEST_EMAIL, _LONGEST_LOCAL, _LONGEST_HOST = 254, 64, 253  # RFC 5321, in bytes


def _email(value: str) -> str | None:
    text = fold(value.strip())
    local, at, host = text.rpartition("@")
    if not at or len(text) > _LONGEST_EMAIL or len(local) > _LONGEST_LOCAL:
        return None
    if "xn--" not in host and _PLAIN_EMAIL.fullmatch(text):
        return text
    # Internationalised: an address may hold any letter (RFC 6531); its domain is compared as the DNS knows it.
    ascii_host = _host(host)
    if ascii_host is None or "_" in ascii_host or host.endswith(".") or not _is_local(local):
        return None
    address = f"{local}@{ascii_host}"
    return None if len(address.encode()) > _LONGEST_EMAIL or len(local.encode()) > _LONGEST_LOCAL else address


def _is_local(local: str) -> bool:
    """Dots only between atoms; beyond ASCII any letter, mark, number, punctuation or symbol, nothing invisible."""
    if local.isascii():
        return _PLAIN_LOCAL.fullmatch(local) is not None
    plain = "".join("a" if not c.isascii() and category(c)[0] in "LMNPS" else c for c in local)
    return _PLAIN_LOCAL.fullmatch(plain) is not None and category(local[0])[0] != "M"


def _domain(value: str) -> str | None:
    text = value.strip()
    scheme = _SCHEME.match(text)
    if scheme:
        text = text[scheme.end() :]
    for mark in "/?#":
        text = text.partition(mark)[0]
    if "@" in text:
        if not scheme:
            return None  # an email, not a web address: its host may be anybody's
        text = text.rpartition("@")[2]
    host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    return _host(host, web=True)


def _host(host: str, *, web: bool = False) -> str | None:
    """A host as the DNS knows it: lower case, IDNA (UTS 46), no trailing dot; None without a dot, or for an IP address.

    A company whose domain reads `none` or `localhost` would otherwise match all others that do.
    """
    host = host.lower()
    if not host.isascii() or "xn--" in host:
        encoded = _idna(host)
        if encoded is None:
            return None
        host = encoded
    host = host.removesuffix(".")
    if web:
        while host.startswith("www.") and "." in host[4:]:
            host = host[4:]
    return host if len(host) <= _LONGEST_HOST and _PLAIN_HOST.fullmatch(host) else None


def _idna(host: str) -> str | None:
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(map(_alabel, mapped.removesuffix(".").split(".")))
    except (idna.IDNAError, UnicodeError, IndexError):
        return None


def _alabel(label: str) -> str:
    plain = _PLAIN_LABEL.fullmatch(label) and not label.startswith("xn--")
    return label if plain else idna.alabel(label).decode("ascii")


def _name(value: str) -> str | None:
    return fold(" ".join(value.split())) or None


def _sku(value: str) -> str | None:
    return value.strip() or None


def _exact(value: str) -> str | None:
    return value if value.strip() else None


_NORMALISE: dict[str, Callable[[str], str | None]] = {
    IdentifierType.EMAIL: _email,
    IdentifierType.DOMAIN: _domain,
    IdentifierType.NAME: _name,
    IdentifierType.SKU: _sku,
    IdentifierType.EXACT: _exact,
}
