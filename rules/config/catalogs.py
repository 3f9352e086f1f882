"""Whether a configuration fits what the accounts really hold.

Responsible for what can only be said once the accounts' catalogs are known: objects, fields, types, required and
read-only fields. Must not know how a catalog is found out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from rules.catalog import Catalog, Field, Kind, Object
from rules.config.checks import required_cycles
from rules.config.models import Installation, MappingConfig, SyncConfig
from rules.config.problems import Problem, did_you_mean
from rules.config.tree import Path
from rules.config.wording import Finding
from rules.filters import filter_problems
from rules.identifiers import IdentifierType
from rules.values import InconvertibleError, InvalidValueError, conversion, describe, fits, noun

Objects = Mapping[str, Object]


def check_catalogs(installation: Installation, catalogs: Mapping[str, Catalog | Mapping[str, Object]]) -> list[Problem]:
    """All that does not fit, in the order of the file. Accounts without a catalog (not reachable) are passed over."""
    objects = {name: one.objects if isinstance(one, Catalog) else one for name, one in catalogs.items()}
    found = [
        finding
        for name, sync in installation.syncs.items()
        for finding in _Sync(name, sync, installation, objects).check()
    ]
    found += _cycles(installation, objects)
    problems = set()
    for finding in found:
        place = installation.place(*finding.path, key=finding.key)
        line, column = place or (0, 0)
        problems.add(Problem(installation.filename, line, column, finding.message, finding.remedy))
    return sorted(problems)


@dataclass(slots=True)
class _Sync:
    name: str
    sync: SyncConfig
    installation: Installation
    catalogs: Mapping[str, Objects]

    def check(self) -> Iterator[Finding]:
        sides: list[Object | None] = []
        for account, object_name in self.sync.between.items():
            found = yield from self.object_of(account, object_name)
            sides.append(found)
        for side, known in enumerate(sides):
            if known is not None:
                yield from self.filters(side, known)
                yield from self.required_fields(side, known)
        for index, mapping in enumerate(self.sync.mapping):
            if mapping.enabled:
                yield from self.entry(mapping, ("syncs", self.name, "mapping", index), sides)

    def object_of(self, account: str, object_name: str) -> Generator[Finding, None, Object | None]:
        """The object of a side, where it can be synced."""
        path: Path = ("syncs", self.name, "between", account)
        if account not in self.catalogs:
            return None
        known = self.catalogs[account]
        found = known.get(object_name)
        if found is None:
            remedy = did_you_mean(object_name, sorted(known), "there is")
            yield Finding(path, f"account '{account}' has no object '{object_name}'", remedy)
            return None
        for problem in found.problems:
            what, _, remedy = problem.partition(": ")
            yield Finding(path, f"object '{object_name}' of '{account}' {what}", remedy)
        if found.problems and not found.fields:
            return None  # nobody could look at it: to say that a field is not there would be untrue
        side = self.sync.accounts.index(account)
        able = found.capabilities
        if self.sync.writes[side] and not (able.creatable or able.updatable):
            message = f"object '{object_name}' of '{account}' can only be read"
            other = self.sync.accounts[1 - side]
            yield Finding(path, message, f"write direction: \"to {other}\" in sync '{self.name}'")
        return found

    # ------------------------------------------------------------ one side

    def filters(self, side: int, known: Object) -> Iterator[Finding]:
        account = self.sync.accounts[side]
        types = {one.name: one.type for one in known.fields}
        for problem in filter_problems(self.sync.filters.get(account, ()), types):
            path = ("syncs", self.name, "filters", account, *problem.path)
            if problem.unknown is not None:
                yield self.no_field(path, account, known, problem.unknown)
            else:
                yield Finding(
                    path, f"{problem.message}, in a filter of '{account}' in sync '{self.name}'", problem.remedy
                )

    def no_field(self, path: Path, account: str, known: Object, name: str) -> Finding:
        remedy = did_you_mean(name, [one.name for one in known.fields], "its fields are")
        return Finding(path, f"object '{known.name}' of '{account}' has no field '{name}'", remedy)

    def required_fields(self, side: int, known: Object) -> Iterator[Finding]:
        """What must have a value in a record that we create, and gets none."""
        if not self.sync.writes[side] or not known.capabilities.creatable:
            return
        filled = {(one.a, one.b)[side] for one in self.sync.mapping if self.sync.writes_of(one)[side]}
        account = self.sync.accounts[side]
        for one in known.fields:
            if one.required and not one.read_only and one.name not in filled:
                message = (
                    f"sync '{self.name}' creates records in '{account}', but gives no value to "
                    f"'{one.name}' of '{known.name}', which is required"
                )
                remedy = f"map a field to it, or give it a constant: {{{account}: {one.name}, value: …}}"
                yield Finding(("syncs", self.name, "mapping"), message, remedy, key=True)

    # ------------------------------------------------------------ an entry of the mapping

    def entry(self, mapping: MappingConfig, path: Path, sides: list[Object | None]) -> Iterator[Finding]:
        fields: list[Field | None] = []
        for account, name, known in zip(self.sync.accounts, (mapping.a, mapping.b), sides, strict=True):
            one = known.field(name) if known is not None and name is not None else None
            if known is not None and name is not None and one is None:
                yield self.no_field((*path, account), account, known, name)
            fields.append(one)
        for side, one in enumerate(fields):
            if one is not None:
                yield from self.one_field(mapping, path, side, one)
        left, right = fields
        if left is None or right is None:
            return
        if mapping.association is None:
            yield from self.copied_reference(path, left, right)
            try:
                conversion(left.type, right.type, mapping.values)
            except InconvertibleError as error:
                pair = f"'{left.name}' of '{self.sync.accounts[0]}' and '{right.name}' of '{self.sync.accounts[1]}'"
                where = (*path, "values") if error.in_values else path
                remedy = "mend the value map" if error.in_values else "pair fields of like types, or remove the entry"
                yield Finding(where, f"{pair} do not go together: {error}", remedy)

    def one_field(self, mapping: MappingConfig, path: Path, side: int, one: Field) -> Iterator[Finding]:
        account, other = self.sync.accounts[side], self.sync.accounts[1 - side]
        here = (*path, account)
        if one.read_only and self.sync.writes_of(mapping)[side]:
            message = f"'{one.name}' of '{account}' is read-only, and this entry writes it"
            remedy = "remove the entry" if mapping.is_constant else f'write direction: "to {other}" in this entry'
            yield Finding(here, message, remedy)
        if mapping.is_constant:
            yield from self.constant(mapping, path, one)
        if mapping.identifier is not None and one.type.kind not in _IDENTIFYING[mapping.identifier]:
            message = f"'{one.name}' of '{account}' is {noun(one.type)}, which cannot be an identifier of type {mapping.identifier}"
            yield Finding((*path, "identifier"), message, "identify by a text, or remove 'identifier'")
        if mapping.association is not None:
            yield from self.association(mapping.association, path, side, one)

    def copied_reference(self, path: Path, left: Field, right: Field) -> Iterator[Finding]:
        """A pair of references that no association translates: ids of one account mean nothing in the other."""
        pair = tuple(zip(self.sync.accounts, (left, right), strict=True))
        if any(one.references is None for _, one in pair):
            return
        wanted = {account: one.references for account, one in pair}
        named = [name for name, one in self.installation.syncs.items() if one.between == wanted]
        if not named and any(one.type.kind is not Kind.INTEGER for _, one in pair):
            return  # a code that both accounts use, perhaps
        fields = " and ".join(f"'{one.name}' of '{account}' refers to '{one.references}'" for account, one in pair)
        there, here = (f"'{one.references}' of '{account}'" for account, one in pair)
        remedy = (
            f"write association: {named[0]}"
            if named
            else f"add a sync of {there} and {here} and name it as association, or remove the entry"
        )
        yield Finding(path, f"{fields}, and without an association the numbers are copied as they are", remedy)

    def constant(self, mapping: MappingConfig, path: Path, one: Field) -> Iterator[Finding]:
        value = list(mapping.value) if isinstance(mapping.value, tuple) else mapping.value
        try:
            fits(one.type)(value)
        except InvalidValueError as error:
            message = f"the constant does not fit '{one.name}': {error.reason}"
            yield Finding((*path, "value"), message, f"write {error.allowed or describe(one.type)}")

    def lacks_code(self, other: SyncConfig, account: str, one: Field) -> bool:
        """Whether the field by whose value it refers is not there."""
        target = self.catalogs.get(account, {}).get(other.between.get(account, ""))
        return target is not None and target.name == one.references and target.field(one.references_field or "") is None

    def association(self, sync: str, path: Path, side: int, one: Field) -> Iterator[Finding]:
        account, other = self.sync.accounts[side], self.installation.syncs.get(sync)
        if one.type.kind not in _REFERRING:
            message = f"'{one.name}' of '{account}' is {noun(one.type)}, which cannot refer to a record"
            yield Finding((*path, account), message, "name the field that holds the reference")
        elif other is not None and one.references_field is not None and self.lacks_code(other, account, one):
            message = f"'{one.name}' of '{account}' holds '{one.references_field}' of '{one.references}', which has no such field"
            yield Finding((*path, account), message, "mend `references` of the object")
        elif other is not None and one.references is not None and one.references != other.between.get(account):
            message = (
                f"'{one.name}' of '{account}' refers to '{one.references}', "
                f"but sync '{sync}' holds its '{other.between.get(account)}'"
            )
            yield Finding(
                (*path, "association"), message, f"name the sync of '{one.references}', or remove the association"
            )


_TEXTUAL = frozenset((Kind.TEXT, Kind.ENUM, Kind.REFERENCE, Kind.UUID))
_NUMBERED = _TEXTUAL | {Kind.INTEGER, Kind.DECIMAL}
_IDENTIFYING = {
    IdentifierType.EMAIL: _TEXTUAL,
    IdentifierType.DOMAIN: _TEXTUAL,
    IdentifierType.NAME: _TEXTUAL,
    IdentifierType.SKU: _NUMBERED,
    IdentifierType.EXACT: _NUMBERED | {Kind.DATE, Kind.TIME, Kind.TIMESTAMP},
}
_REFERRING = _NUMBERED | {Kind.LIST}


def _cycles(installation: Installation, catalogs: Mapping[str, Objects]) -> Iterator[Finding]:
    """Cycles of associations that are required because a field in one of the accounts is."""
    for account, objects in catalogs.items():
        edges: dict[str, dict[str, Path]] = {}
        for name, sync in installation.syncs.items():
            known = objects.get(sync.between.get(account, ""))
            if known is None:
                continue
            side = sync.accounts.index(account)
            for index, mapping in enumerate(sync.mapping):
                field_name = (mapping.a, mapping.b)[side]
                one = known.field(field_name) if field_name is not None else None
                needed = mapping.required or (one is not None and one.required)
                if mapping.association is not None and needed and sync.writes_of(mapping)[side]:
                    edges.setdefault(name, {})[mapping.association] = ("syncs", name, "mapping", index, "association")
        yield from required_cycles(edges, account)
