"""inbox -> commands, statuses, history, dead letters, and the state: what the rules decide.

Responsible for handing the rules their event and their view, and for where each part of the decision goes. Must not
know what is decided.
"""

from __future__ import annotations

from collections.abc import Callable

from rules.decide import Decision, Envelope, View
from rules.events import Captured, Event, Results
from schemas import Message as Anything
from schemas import UndecodableError, decode, encode
from streams import keys
from streams.letters import letter_of, output_of, read_again, refused
from streams.overlay import ConnectionView, Entries, Overlay
from streams.protocols import ConfigSource
from streams.pump import Message
from streams.topics import Topics, status_key
from streams.unit import Change, Output

Decide = Callable[[View, Event, Envelope], Decision]
EVENTS: tuple[type[Event], ...] = Event.__args__


class Reconcile:
    """The stage."""

    name = "reconcile"

    def __init__(self, topics: Topics, config: ConfigSource, decide: Decide) -> None:
        self._topics, self._config, self._decide = topics, config, decide

    def decide(self, message: Message, overlay: Overlay) -> Change:
        """What the rules make of the event."""
        connection = self._connection(message)
        event = _event(decode(message.value))
        prefix = keys.connection(connection)
        decision = self._decide(
            ConnectionView(overlay, prefix), event, Envelope(connection, message.offset, message.timestamp)
        )
        return self._change(decision, connection, prefix, _rows(event))

    def _connection(self, message: Message) -> str:
        """The inbox that the message is in."""
        connection, tp = message.key.decode(errors="replace"), message.event.message.tp
        if self._topics.partition_of(connection) != tp.partition:
            raise UndecodableError(f"the inbox of {connection!r} is in another partition")
        return connection

    def _change(self, decision: Decision, connection: str, prefix: bytes, rows: int) -> Change:
        topics = self._topics
        outputs = [Output(topics.commands, order.account.encode(), encode(order)) for order in decision.orders]
        outputs += [Output(topics.inbox, connection.encode(), encode(tick)) for tick in decision.ticks]
        outputs += [output_of(letter, topics) for letter in decision.dead_letters]
        return Change(
            entries=_under(prefix, decision.state),
            indexes=_under(prefix, decision.indexes),
            outputs=outputs,
            statuses={status_key(row.sync, row.key): row for row in decision.statuses}
            | {status_key(row.sync): row for row in decision.syncs},
            history=[(connection, row) for row in decision.history],
            letters=decision.dead_letters,
            rows=rows,
        )

    def refuse(self, message: Message, why: str) -> Change:
        """A dead letter; the connection's syncs are read again: it may have been a page, a change, or a result."""
        tp = message.event.message.tp
        letter = letter_of(tp.topic, tp.partition, message.offset, message.timestamp, message.key, message.value, why)
        current, connection = self._config.current, message.key.decode(errors="replace")
        return refused(letter, read_again(letter.id, self._topics, current, connection=connection), self._topics)


def _event(found: Anything) -> Event:
    if not isinstance(found, EVENTS):
        raise UndecodableError(f"a {type(found).__name__} has no place in an inbox")
    return found


def _under(prefix: bytes, entries: Entries) -> Entries:
    return {prefix + key: value for key, value in entries.items()}


def _rows(event: Event) -> int:
    match event:
        case Captured():
            return len(event.rows)
        case Results():
            return len(event.answers)
        case _:
            return 1
