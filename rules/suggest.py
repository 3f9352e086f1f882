"""Suggests a sync for two objects: a block for sync.yaml, guessed from names and types.

Responsible for the guess and for writing it as YAML that `check` accepts as far as that can be known. Must not know
accounts beyond the two objects; a person reads what it says before it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from rules.catalog import Field, Kind, Object
from rules.identifiers import EXPECTED, IdentifierType
from rules.synonyms import meaning, meanings, plain, words
from rules.values import InconvertibleError, conversion, describe

End = tuple[str, Object]  # account, object


def suggest(a: End, b: End, kind: str | None = None) -> str:
    """A sync block, indented as it stands under `syncs:`: kind, identifiers, mapping, and the required fields left unfilled.

    Associations are suggested as comments, since they name a sync that may not exist yet.
    """
    kind = kind or guess_kind(a[1], b[1])
    pairs = pair_fields(a[1], b[1])
    identifiers = _identifiers(pairs, kind)
    lines = [f"{_name(a[1].name)}:"]
    lines += [f"  between: {{{_quoted(a[0])}: {_quoted(a[1].name)}, {_quoted(b[0])}: {_quoted(b[1].name)}}}"]
    lines += [f"  kind: {kind}", "  direction: both", f"  default: {_quoted(a[0])}   # wins where the two differ"]
    if kind in ("contact", "lead") and not identifiers:
        lines.append("  require_identifier: false   # no pair of fields looks like an email address")
    lines.append("  mapping:")
    lines += [f"    - {_entry(a[0], b[0], pair, identifiers.get(pair))}" for pair in pairs if not pair.is_reference]
    if not any(not pair.is_reference for pair in pairs):
        lines.append("    # no two fields have names and types alike: pair them by hand")
    lines += [f"    # - {_entry(a[0], b[0], pair, None)}" for pair in pairs if pair.is_reference]
    lines += [f"    {line}" for line in _unfilled(a, b, pairs)]
    return "".join(f"  {line}\n" for line in lines)


# ---------------------------------------------------------------- kind

_KINDS = {
    "contact": ("contact", "person", "people", "customer", "client", "subscriber", "member", "user", "partner"),
    "lead": ("lead", "prospect"),
    "company": (
        "company",
        "companies",
        "firm",
        "organisation",
        "organization",
        "account",
        "business",
        "supplier",
        "vendor",
    ),
    "product": ("product", "item", "article", "sku", "good", "part"),
    "deal": ("deal", "opportunity", "opportunities"),
    "invoice": ("invoice", "bill", "order"),
    "ticket": ("ticket", "case", "issue"),
    "activity": ("activity", "activities", "call", "email", "note", "task", "meeting", "event"),
}


def guess_kind(a: Object, b: Object) -> str:
    """The kind that the names of the objects speak of; of two, that of the first."""
    for name in (a.name, b.name):
        spoken = {form for word in words(name) for form in (word, word.removesuffix("s"))}
        for kind, known in _KINDS.items():
            if spoken & set(known):
                return kind
    return "custom"


# ---------------------------------------------------------------- fields

# What apps keep for themselves: ids, times of their own.
_OWN = re.compile(
    r"(?:id|uuid|guid|created|updated|modified|deleted|version|rev|etag|search|password)(?:_.*)?|.*_(?:created|updated|modified)"
    r"|.*_hash|(?:hs_)?(?:createdate|lastmodifieddate)|hs_object_id|hs_merged_object_ids"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two fields that look alike."""

    a: Field
    b: Field
    meaning: str

    @property
    def is_reference(self) -> bool:
        """Whether they refer to other records, which takes an association."""
        return self.a.references is not None


def pair_fields(a: Object, b: Object) -> list[Pair]:
    """The fields that go together, in the order of the first object: the same name, the same meaning, or nearly the same name."""
    left, right = _candidates(a), _candidates(b)
    scored = sorted(
        (
            (score, -place, one, other)
            for place, one in enumerate(left)
            for other in right
            if (score := _likeness(one, other)) > 0
        ),
        key=lambda found: found[:2],
        reverse=True,
    )
    taken: dict[str, Pair] = {}
    used: set[str] = set()
    for _, _, one, other in scored:
        if one.name not in taken and other.name not in used:
            taken[one.name] = Pair(one, other, meaning(one.name))
            used.add(other.name)
    return [taken[one.name] for one in left if one.name in taken]


def _candidates(known: Object) -> list[Field]:
    """The fields that a person would think of: not the key by which the app counts, not what it keeps for itself."""
    return [
        one
        for one in known.fields
        if not (one.name in known.key and one.read_only) and not _OWN.fullmatch(plain(one.name))
    ]


def _likeness(one: Field, other: Field) -> float:
    """0 where they cannot go together."""
    left, right = plain(one.name), plain(other.name)
    if (one.references is None) != (other.references is None) or (one.read_only and other.read_only):
        return 0
    if left == right or left.replace("_", "") == right.replace("_", ""):
        likeness = 1.0
    elif meanings(one.name) & meanings(other.name):
        likeness = 0.9
    else:
        likeness = SequenceMatcher(None, left, right).ratio()
        if likeness < 0.85 or min(len(left), len(right)) < 5:
            return 0
        likeness -= 0.15
    try:
        conversion(one.type, other.type)
    except InconvertibleError:
        return 0
    return likeness if one.type.kind is other.type.kind else likeness - 0.05


# ---------------------------------------------------------------- identifiers

_IDENTIFIED_BY = {
    "email": IdentifierType.EMAIL,
    "domain": IdentifierType.DOMAIN,
    "name": IdentifierType.NAME,
    "sku": IdentifierType.SKU,
}
_TEXTUAL = (Kind.TEXT, Kind.ENUM, Kind.REFERENCE, Kind.UUID)


def _identifiers(pairs: Iterable[Pair], kind: str) -> dict[Pair, IdentifierType]:
    """The pairs that identify, for the kinds that expect it."""
    found = {}
    for pair in pairs:
        type_ = _IDENTIFIED_BY.get(pair.meaning)
        is_text = pair.a.type.kind in _TEXTUAL and pair.b.type.kind in _TEXTUAL
        if type_ is not None and is_text and kind != "custom" and type_ in EXPECTED.get(kind, ()):
            found[pair] = type_
    if kind == "custom":
        both = (*_TEXTUAL, Kind.INTEGER)
        for pair in pairs:
            if pair.a.unique and pair.b.unique and pair.a.type.kind in both and pair.b.type.kind in both:
                found[pair] = IdentifierType.EXACT
    return found


# ---------------------------------------------------------------- as YAML


def _entry(a: str, b: str, pair: Pair, identifier: IdentifierType | None) -> str:
    parts = [f"{_quoted(a)}: {_quoted(pair.a.name)}", f"{_quoted(b)}: {_quoted(pair.b.name)}"]
    if identifier is not None:
        parts.append(f"identifier: {identifier}")
    if pair.is_reference:
        parts.append(f"association: {_name(pair.a.references or '')}")
    if pair.b.read_only:
        parts.append(f'direction: "to {a}"')
    elif pair.a.read_only:
        parts.append(f'direction: "to {b}"')
    if pair.a.required or pair.b.required:
        parts.append("required: true")
    comment = "   # a sync of these must be there, too" if pair.is_reference else ""
    return "{" + ", ".join(parts) + "}" + comment


def _unfilled(a: End, b: End, pairs: list[Pair]) -> Iterator[str]:
    """The required fields that no suggested entry fills, as comments to complete."""
    for side, (account, known) in enumerate((a, b)):
        filled = {(pair.a, pair.b)[side].name for pair in pairs if not pair.is_reference}
        for one in known.fields:
            if one.required and not one.read_only and one.name not in filled:
                yield f"# required in {account}, and nothing fills it; map a field to it or give {describe(one.type)}:"
                yield f"# - {{{_quoted(account)}: {_quoted(one.name)}, value: …}}"


def _name(text: str) -> str:
    """A name for a sync out of that of an object."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text.rpartition(".")[2]).strip("_-")[:40] or "sync"


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_TEXT = re.compile(r"true|false|null", re.IGNORECASE)


def _quoted(text: str) -> str:
    """A text as YAML between braces writes it."""
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
