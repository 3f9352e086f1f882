"""What the command line and the web console show: answers in the JSON shapes of the contract, out of the read model.

Responsible for these shapes. Must not know how they are printed, nor how the read model is filled.

The applied configuration lies in the read model too, so that a sync that has only just been applied is known, its
accounts come in the order in which the file names them, and names that do not exist are refused without asking Kafka.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

from console.columns import field_in
from console.errors import FailedError, WrongUseError, unknown
from console.explaining import Pair, explain, names_of, told
from console.home import Home, Running
from console.letters import LetterFilter, letter_in_words
from console.readmodel.reader import LetterRow, Reader, RecordFilter, RecordRow
from console.times import iso
from rules.events import SyncRow

Json = dict[str, Any]
COUNTS = ("in_sync", "failing", "excluded", "pending")


class Service:
    """Questions about an installation, answered as of when the read model last was current."""

    def __init__(self, reader: Reader, running: Running | None) -> None:
        self.reader, self.running = reader, running
        self.caught_up = False  # this command has just read all that the topics hold

    @classmethod
    def open(cls, home: Home) -> Service:
        """Over the read model of a home. Raises `FailedError` where there is none yet."""
        reader = Reader.open(home.read_model)
        if reader is None:
            if home.is_taken():
                raise FailedError("tandem up is still coming up on this home.", "Ask again in a few seconds.")
            raise FailedError(
                f"Nothing has run on {home.path} yet, so there is nothing to show.",
                "Start the engine with `tandem up`, or name the folder of the one you mean with --home.",
            )
        return cls(reader, home.running())

    def close(self) -> None:
        """Gives the read model back."""
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ what there is

    @cached_property
    def configuration(self) -> Json:
        """The applied configuration: `version`, `document`, `off`, `catalogs`; empty where none has been."""
        text = self.reader.meta("configuration")
        found: Json = json.loads(text) if text else {}
        return found

    @property
    def _applied(self) -> Json:
        found: Json = (self.configuration.get("document") or {}).get("syncs") or {}
        return found

    @cached_property
    def rows(self) -> dict[str, SyncRow]:
        """The state of each sync that a worker has reported on."""
        return self.reader.syncs()

    @cached_property
    def between(self) -> dict[str, tuple[str, ...]]:
        """The accounts of every sync, in the order of the file; the syncs in their order there."""
        found = {name: tuple(sync["between"]) for name, sync in self._applied.items()}
        for name, row in self.rows.items():
            found.setdefault(name, tuple(row.connection.split("~")))
        return found

    @property
    def as_of(self) -> float | None:
        """When the read model last held all that the topics held; seconds since 1970."""
        text = self.reader.meta("as_of")
        return None if text is None else float(text)

    def known(self, sync: str | None) -> list[str]:
        """The syncs meant: that one, or all. Raises `WrongUseError` for one that does not exist."""
        if sync is None:
            return list(self.between)
        if sync not in self.between:
            raise unknown("sync", sync, self.between)
        return [sync]

    # ------------------------------------------------------------ answers

    def status(self, sync: str | None = None) -> Json:
        """The document of `tandem status --json`."""
        return {"endpoints": self.endpoints(), "syncs": [self._sync_status(name) for name in self.known(sync)]}

    def endpoints(self) -> Json:
        """Where the running engine can be asked; nulls and an empty list where none runs here."""
        running = self.running
        return {
            "console": running.console if running else None,
            "metrics": [worker.metrics for worker in running.workers if worker.metrics] if running else [],
        }

    def records(self, wanted: RecordFilter, limit: int | None = None) -> Iterator[Json]:
        """The entries of `tandem records --json`, one at a time."""
        for row in self.reader.records(wanted, self.known(wanted.sync), limit):
            yield self._record(row)

    def count(self, wanted: RecordFilter) -> int:
        """How many records `records` would give without a limit."""
        return self.reader.count(wanted, self.known(wanted.sync))

    def failures(self, sync: str | None = None, samples: int | None = None) -> Json:
        """The document of `tandem failures --json`: per sync and category how many, and (at most `samples`) records."""
        groups: list[Json] = []
        for name in self.known(sync):
            for category, count in self.reader.categories(name):
                wanted = RecordFilter(sync=name, status="failing", category=category)
                records = list(self.records(wanted, samples))
                groups.append({"sync": name, "category": category, "count": count, "records": records})
        return {"failures": groups}

    def applied(self, sync: str) -> Json:
        """What the applied configuration says of a sync; empty for one that is no longer in it."""
        found: Json = self._applied.get(sync) or {}
        return found

    def deleted(self, sync: str, account: str) -> Iterator[tuple[str, Json]]:
        """The key and entry of each record of a sync that was deleted in the account and can be restored there."""
        wanted = RecordFilter(sync=sync, status="failing")
        for row in self.reader.records(wanted, self.known(sync)):
            if row.gone == (account,):
                yield row.key, self._record(row)

    def present(self, sync: str) -> Iterator[str]:
        """Every `account:id` that the sync knows of, also of a deleted record whose counterpart is there."""
        for row in self.reader.records(RecordFilter(sync=sync), self.known(sync)):
            for account, side in row.sides.items():
                yield f"{account}:{side['id']}"

    def explain(self, sync: str, reference: str, since: float | None = None, until: float | None = None) -> Json:
        """The document of `tandem explain --json`: a record's values with where they came from, and its history."""
        row = self.find(sync, reference)
        decisions = self.reader.history_of(sync, names_of(row), since, until)
        found = {"record": self._record(row)} | explain(row, decisions, self._pairs(sync), self.between[sync])
        letters = self.reader.letters(sync, key=row.key, discarded=True)
        return found | {"dead_letters": [one.letter.id for one in letters]}

    def _pairs(self, sync: str) -> list[Pair]:
        """The enabled pairs of fields of a sync, as the applied configuration maps them."""
        accounts = self.between[sync]
        pairs: list[Pair] = []
        for entry in self.applied(sync).get("mapping") or ():
            found = (field_in(entry, accounts, account) for account in accounts)
            fields = tuple(field for field in found if field is not None)
            if entry.get("enabled", True) and len(fields) == len(accounts):
                pairs.append(Pair(fields, entry.get("identifier"), entry.get("association"), entry.get("direction")))
        return pairs

    def history(
        self,
        sync: str | None = None,
        reference: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int | None = None,
    ) -> Iterator[Json]:
        """The entries of `tandem history --json`, the latest first: of a record, of a sync, or of all."""
        self.known(sync)
        if sync is None or reference is None:
            for decision in self.reader.history(sync, since, until, limit):
                yield told(decision)
            return
        names = self._names(sync, reference)
        for decision in self.reader.history_of(sync, names, since, until)[::-1][:limit]:
            yield told(decision)

    def _names(self, sync: str, reference: str) -> list[str]:
        """The names under which a record stands in the history: also of one that is no more."""
        try:
            return names_of(self.find(sync, reference))
        except WrongUseError:
            account, colon, _ = reference.partition(":")
            named = [reference] if colon and account in self.between[sync] else []
            names = named or [f"{account}:{reference}" for account in self.between[sync]]
            if not self.reader.history_of(sync, names):
                raise
            return names

    def letters(self, wanted: LetterFilter) -> Iterator[Json]:
        """The entries of `tandem dead-letters list --json`, the latest first."""
        self.known(wanted.sync)
        asked = (wanted.sync, wanted.category, wanted.since, wanted.until)
        for row in self.reader.letters(*asked, discarded=wanted.discarded):
            yield letter_in_words(row)

    def letter(self, beginning: str) -> LetterRow:
        """The dead letter whose id begins so. Raises `WrongUseError` where there is none, or several."""
        found = list(self.reader.letters(beginning=beginning, discarded=True))
        exact = [row for row in found if row.letter.id == beginning]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if not found:
            raise WrongUseError(f"There is no dead letter {beginning}.", "`tandem dead-letters list` shows their ids.")
        raise WrongUseError(
            f"{beginning} is the beginning of {len(found)} ids.",
            "Write more of the one that you mean: " + ", ".join(row.letter.id for row in found[:5]),
        )

    def find(self, sync: str, reference: str) -> RecordRow:
        """The record that `account:id`, or an id alone, names. Raises `WrongUseError` where none or several do."""
        self.known(sync)
        account, colon, record_id = reference.partition(":")
        named = colon and account in self.between[sync]
        found = self.reader.find(sync, record_id, account) if named else self.reader.find(sync, reference)
        if not found:
            accounts = " or ".join(f"{name}:ID" for name in self.between[sync])
            raise WrongUseError(
                f"There is no record {reference} in {sync}.",
                f"Name it by its id on either side: {accounts}. By its values it is found with"
                f" `tandem records {sync} --search TEXT`.",
            )
        if len({row.key for _, row in found}) > 1:
            meant = " and ".join(f"{account}:{record_id if named else reference}" for account, _ in found)
            raise WrongUseError(
                f"{reference} is the id of several records of {sync}.", f"Say which one you mean: {meant}."
            )
        return found[0][1]

    # ------------------------------------------------------------ shapes

    def _sync_status(self, name: str) -> Json:
        row = self.rows.get(name)
        if row is None:
            row = SyncRow(sync=name, connection="~".join(sorted(self.between[name])), state="initial")
        found: Json = {"sync": name, "state": self._state(name, row)}
        found |= {count: row.counts.get(count, 0) for count in COUNTS}
        found["lag_seconds"] = self._lag(row)
        found["initial"] = {
            "read": {account: row.read.get(account, 0) for account in self.between[name]},
            "matched": row.matched,
            "created": row.created,
            "remaining": row.remaining,
        }
        found["reason"] = row.reason or None
        found["accounts_down"] = dict(row.accounts)
        return found

    def _state(self, name: str, row: SyncRow) -> str | None:
        """What was applied counts before what a worker has reported: `off` and `on` show at once."""
        if name in self.configuration.get("off", ()):
            return "off"
        return "initial" if row.state == "off" and name in self._applied else row.state

    def _lag(self, row: SyncRow) -> float:
        """How long the oldest change that is still on its way has been under way, as far as is known."""
        if not row.oldest:
            return 0.0
        now = time.time() if self.running else (self.as_of or row.oldest)
        return round(max(0.0, now - row.oldest), 3)

    def _record(self, row: RecordRow) -> Json:
        found: Json = {
            "sync": row.sync,
            "status": row.status,
            "category": row.category,
            "message": row.message,
            "remedy": row.remedy,
            "since": iso(row.since),
        }
        for account in self.between[row.sync]:
            found[account] = row.sides.get(account)
        return found
