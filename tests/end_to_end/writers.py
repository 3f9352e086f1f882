"""People at work in both databases at once, who remember what they did: what must be there in the end is known without asking the pipeline."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg

TABLES = {
    "crm": ("contacts", "email", "first_name", "phone"),
    "shop": ("customers", "mail", "given_name", "tel"),
}


@dataclass(slots=True)
class Written:
    """What one writer left behind: phone by email, and what was deleted from which side."""

    phones: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    edits: int = 0


class Writer(threading.Thread):
    """Edits, creates and deletes in one database, its own records only, so that no two writers meet in one field."""

    def __init__(self, account: str, url: str, number: int, emails: list[str], pause: float) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.account, self.url, self.number, self.emails, self.pause = account, url, number, list(emails), pause
        self.random = random.Random(number)
        self.written = Written()
        self.stopping = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Works until stopped."""
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.stopping.wait(self.pause):
                    self._act(connection)
        except BaseException as error:  # noqa: BLE001 - told to the test, which fails by it
            self.error = error

    def _act(self, connection: psycopg.Connection[Any]) -> None:
        table, email_field, name_field, phone_field = TABLES[self.account]
        self.written.edits += 1
        phone = f"{self.number}-{self.written.edits}"
        choice = self.random.random()
        if choice < 0.15:
            email = f"new-{self.number}-{self.written.edits}@example.org"
            connection.execute(
                f"INSERT INTO {table} ({email_field}, {name_field}, {phone_field}) VALUES (%s, 'New', %s)",
                (email, phone),
            )
            self.emails.append(email)
            self.written.phones[email] = phone
        elif choice < 0.2 and len(self.emails) > 5:
            email = self.emails.pop(self.random.randrange(len(self.emails)))
            self._one(connection, f"DELETE FROM {table} WHERE lower({email_field}) = %s RETURNING 1", (email,))
            self.written.deleted.add(email)
            self.written.phones.pop(email, None)
        else:
            email = self.random.choice(self.emails)
            statement = f"UPDATE {table} SET {phone_field} = %s WHERE lower({email_field}) = %s RETURNING 1"
            self._one(connection, statement, (phone, email))
            self.written.phones[email] = phone

    @staticmethod
    def _one(connection: psycopg.Connection[Any], statement: str, values: tuple[Any, ...]) -> None:
        found = connection.execute(statement, values).fetchall()
        assert len(found) == 1, f"{values} met {len(found)} records"

    def stop(self) -> Written:
        """Ends the work; what was done."""
        self.stopping.set()
        self.join(30)
        if self.error is not None:
            raise self.error
        return self.written
