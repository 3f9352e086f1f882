"""changes -> inbox: each message goes, as it is, to the connections that use it.

Responsible for who gets what, for how far errands have got, and for what capture notes. Must not know what a row means:
of a message with rows it reads the head alone.
"""

from __future__ import annotations

import msgspec

from rules.events import LogStarted, Marked
from schemas import Head, Noted, UndecodableError, decode, head
from streams import errands, memory
from streams.letters import letter_of, read_again, refused
from streams.overlay import Overlay
from streams.protocols import ConfigSource, Configuration
from streams.pump import Message
from streams.stage import NotYetError
from streams.topics import Topics, connection_name
from streams.unit import Change, Output


class Routes(msgspec.Struct, frozen=True):
    """Which connections use an account, and which of its objects; of one version of the configuration."""

    version: int
    accounts: dict[str, tuple[str, ...]]
    objects: dict[tuple[str, str], tuple[str, ...]]

    @classmethod
    def of(cls, configuration: Configuration | None) -> Routes:
        """The routes of the configuration."""
        accounts: dict[str, dict[str, None]] = {}
        objects: dict[tuple[str, str], dict[str, None]] = {}
        for definition in configuration.document["syncs"].values() if configuration else ():
            connection = connection_name(definition["between"])
            for account, name in definition["between"].items():
                accounts.setdefault(account, {})[connection] = None
                objects.setdefault((account, name), {})[connection] = None
        return cls(
            configuration.version if configuration else 0,
            {account: tuple(found) for account, found in accounts.items()},
            {place: tuple(found) for place, found in objects.items()},
        )

    def to(self, found: Head) -> tuple[str, ...]:
        """Who gets a message with this head. An object that no sync uses (any more) goes to nobody."""
        if found.to is not None:
            return (found.to,)
        if found.object is None:
            return self.accounts.get(found.account, ())
        return self.objects.get((found.account, found.object), ())


class Route:
    """The stage."""

    name = "route"

    def __init__(self, topics: Topics, config: ConfigSource) -> None:
        self._topics, self._config = topics, config
        self._routes = Routes(0, {}, {})

    def decide(self, message: Message, overlay: Overlay) -> Change:
        """Passes the bytes on, and moves on the errand that the message carries out."""
        found = head(message.value)
        if self._topics.partition_of(found.account) != message.event.message.tp.partition:
            raise UndecodableError(f"the changes of {found.account!r} are in another partition")
        routes = self._current(found.config)
        if found.read is not None and not errands.is_current(overlay.database(), found.account, found.read):
            return Change(rows=0)  # of a read that was replaced
        event = None if found.object is not None or found.errand is not None else decode(message.value)
        if isinstance(event, Noted):
            return Change(entries=memory.noted(overlay, event), rows=1 + len(event.notes))
        change = Change(
            outputs=[Output(self._topics.inbox, to.encode(), message.value) for to in routes.to(found)], rows=1
        )
        if found.errand is not None:
            change.late.append(errands.captured(found))
        elif isinstance(event, Marked):
            change.late.append(errands.marked(event.account, event.mark))
        elif isinstance(event, LogStarted):
            change.entries |= memory.begun_anew(overlay, event.account)
        return change

    def refuse(self, message: Message, why: str) -> Change:
        """A dead letter; the account's objects are read again."""
        tp = message.event.message.tp
        letter = letter_of(tp.topic, tp.partition, message.offset, message.timestamp, message.key, message.value, why)
        current = self._config.current
        orders = read_again(letter.id, self._topics, current, account=message.key.decode(errors="replace"))
        return refused(letter, orders, self._topics)

    def _current(self, version: int) -> Routes:
        """The routes in force; of no older version than the message was captured under."""
        current = self._config.current
        if version > (current.version if current else 0):
            raise NotYetError(lambda: self._config.wait_for(version))
        if current is not None and self._routes.version != current.version:
            self._routes = Routes.of(current)
        return self._routes
