"""Accounts that are not written to: commands are answered as an app would that takes all that its own description allows.

Responsible for the answers, with ids that are made up, and for unique rules, which the description tells of. Must not
know the rules. What only the app itself can know (a check, a trigger, a form of its own for a value) shows when it is
synced for real.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping

import msgspec

from console.rehearsal.store import State, Store
from rules.catalog import Kind, Object, Value, join_id
from rules.events import Answer, Command, Commands, Results, Row
from rules.state import decode_image, image_key
from rules.values import is_empty
from rules.version import Version

Values = dict[str, Value]
FIRST = 1 << 62  # positions, and numbers in ids, that no app has come to


class StandIn:
    """All accounts. `objects`: (account, object) to its description."""

    def __init__(self, store: Store, objects: Mapping[tuple[str, str], Object]) -> None:
        self._store, self._objects = store, objects
        self._made = 0

    def knows(self, account: str, object_name: str) -> bool:
        """Whether an object is described: a sync that is to be deleted may use another."""
        return (account, object_name) in self._objects

    def took_in(self, account: str, object_name: str, rows: tuple[Row, ...]) -> None:
        """Learns which values are taken."""
        own = self._objects[account, object_name]
        if own.unique:
            self._store.hold({key: row.id for row in rows for key in _guarded(account, own, row.values)})

    def hold_of(self, account: str, object_name: str, record_id: str, values: Values) -> None:
        """Learns which values a record holds that was known before."""
        own = self._objects[account, object_name]
        if own.unique:
            self._store.hold(dict.fromkeys(_guarded(account, own, values), record_id))

    def answer(self, commands: Commands, state: State) -> Results:
        """What an account would answer to the connection of that state."""
        own = self._objects[commands.account, commands.object]
        answers = tuple([self._answer(commands.account, own, command, state) for command in commands.commands])
        return Results(commands.account, commands.object, answers)

    def _answer(self, account: str, own: Object, command: Command, state: State) -> Answer:
        head = (command.sync, command.link, command.sequence)
        self._made += 1
        version = Version(FIRST + self._made)
        held = {} if command.id is None else _held(account, own, command.id, state)
        if command.op == "delete":
            self._store.hold(dict.fromkeys(_guarded(account, own, held)))
            return Answer(*head, "applied", command.id, None, version)
        stored: Values = {field.name: None for field in own.fields} | held | command.values
        rival = self._rival(account, own, stored, command.id)
        if rival is not None:
            fields, holder = rival
            message = f"{', '.join(fields)} must be unique, and {account}:{holder} holds it already"
            return Answer(
                *head, "rejected", command.id, category="duplicate", field=fields[0], message=message, other=holder
            )
        record_id = command.id or self._new_id(account, own, stored, command.link)
        freed: dict[bytes, str | None] = dict.fromkeys(_guarded(account, own, held))
        self._store.hold(freed | dict.fromkeys(_guarded(account, own, stored), record_id))
        return Answer(*head, "applied", record_id, stored, version)

    def _rival(
        self, account: str, own: Object, stored: Values, record_id: str | None
    ) -> tuple[tuple[str, ...], str] | None:
        for fields in own.unique:
            for key in _guarded(account, own, stored, (fields,)):
                holder = self._store.holder(key)
                if holder is not None and holder != record_id:
                    return fields, holder
        return None

    def _new_id(self, account: str, own: Object, stored: Values, link: str) -> str:
        """An id of the kind that the object's key has; the record then holds it."""
        pieces: list[str] = []
        for name in own.key:
            if is_empty(stored.get(name)):
                field = own.field(name)
                stored[name] = self._made_up(Kind.TEXT if field is None else field.type.kind)
            pieces.append(str(stored[name]))
        record_id = join_id(pieces)
        self._store.make_up(account, record_id, link)
        return record_id

    def _made_up(self, kind: Kind) -> Value:
        if kind is Kind.INTEGER:
            return FIRST + self._made
        if kind is Kind.UUID:
            return str(uuid.UUID(int=(0xFFFF << 112) | self._made))
        return str(FIRST + self._made) if kind is Kind.DECIMAL else f"new-{self._made}"


def _held(account: str, own: Object, record_id: str, state: State) -> Values:
    """What a record holds, as far as the rules know."""
    raw = state.get(image_key(account, own.name, record_id))
    return {} if raw is None else dict(decode_image(raw).values)


def _guarded(
    account: str, own: Object, values: Values, rules: tuple[tuple[str, ...], ...] | None = None
) -> Iterator[bytes]:
    """The values of a record that unique rules guard, as keys. One that is empty guards nothing."""
    for fields in own.unique if rules is None else rules:
        held = [values.get(field) for field in fields]
        if None not in held:
            yield f"{account}\0{own.name}\0{','.join(fields)}\0".encode() + msgspec.json.encode(held)
