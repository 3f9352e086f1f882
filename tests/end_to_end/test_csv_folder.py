"""A folder of CSV files and a PostgreSQL database in two-way sync, by a connector that comes with a package of its own.

The package is the example of the guide to writing a connector, installed as its users install it; nothing of Tandem
knows it.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Make
from tests.end_to_end.engine import Database, Engine, until

pytestmark = pytest.mark.e2e

PACKAGE = Path(__file__).parents[2] / "docs" / "connectors" / "csv_folder"
COLUMNS = ["id", "email", "name", "birthday", "note"]
DDL = """
CREATE TABLE contacts (id bigserial PRIMARY KEY, email text UNIQUE, full_name text, born date, note text);
"""
PEOPLE = {
    "between": {"crm": "contacts", "books": "people"},
    "kind": "contact",
    "default": "crm",
    "empty": "propagate",
    "deletes": "propagate",
    "mapping": [
        {"crm": "email", "books": "email", "identifier": "email"},
        {"crm": "full_name", "books": "name"},
        {"crm": "born", "books": "birthday"},
        {"crm": "note", "books": "note"},
    ],
}

Lines = list[dict[str, str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the package is installed: on the path of what is started, as in an environment of its own."""
    source, target = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--target", str(target), str(source)),
        ],
        check=True,
        timeout=120,
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(target), before]))
    yield str(target)
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


class Books:
    """The folder, as a person works with it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "people.csv"

    def lines(self) -> Lines:
        """The lines of the file."""
        with self.file.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def by_email(self) -> dict[str, dict[str, str]]:
        """The lines by their address."""
        return {line["email"]: line for line in self.lines()}

    def save(self, lines: Lines) -> None:
        """Writes the file beside, and puts it in its place."""
        beside = self.file.with_suffix(".new")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(lines)
        beside.replace(self.file)

    def edit(self, change: Callable[[Lines], object]) -> None:
        """Opens, changes, saves."""
        lines = self.lines()
        change(lines)
        self.save(lines)


def line(id: str, email: str, **more: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"id": id, "email": email, **more}


def make(engines: Make) -> tuple[Engine, Books]:
    """A CRM and a folder, with a sync between them in the file."""
    engine = engines({"crm": DDL})
    folder = engine.folder / "books"
    folder.mkdir()
    engine.configure({"people": PEOPLE})
    file = engine.folder / "sync.yaml"
    document = json.loads(file.read_text())
    document["accounts"]["books"] = {
        "connector": "csv",
        "folder": str(folder),
        "every": 0.1,
        "settle": 0.2,
        "objects": {"people": {"types": {"birthday": "date"}}},
    }
    file.write_text(json.dumps(document))
    return engine, Books(folder)


def agree(crm: Database, books: Books) -> bool:
    """Both hold the same; an address in whichever spelling it was found."""
    rows = crm.run("SELECT lower(email), full_name, born::text, note FROM contacts ORDER BY 1")
    left = [tuple(value or "" for value in row.values()) for row in rows]
    right = sorted((one["email"].lower(), one["name"], one["birthday"], one["note"]) for one in books.lines())
    return left == right


def test_a_folder_and_a_database_stay_the_same(installed: str, engines: Make) -> None:
    engine, books = make(engines)
    crm = engine.databases["crm"]
    crm.run("INSERT INTO contacts (email, full_name) VALUES ('ann@x.org', 'Ann'), ('db@x.org', 'From, the \"base\"')")
    books.save([line("1", "ANN@x.org", birthday="1990-02-28"), line("2", "file@x.org", name="From\nthe file")])
    assert "captures by scan" in engine.run("discover", "books", "people").stdout
    engine.up(workers=1)
    engine.wait()
    # Matched, merged, and what was on one side alone is on both.
    assert [one["id"] for one in books.lines()][:2] == ["1", "2"]
    assert len(books.lines()) == 3
    assert crm.value("SELECT born::text FROM contacts WHERE full_name = 'Ann'") == "1990-02-28"
    assert crm.value("SELECT full_name FROM contacts WHERE email = 'file@x.org'") == "From\nthe file"
    assert books.by_email()["db@x.org"]["name"] == 'From, the "base"'

    # An edit in the file, one in the database, at the same time and in the same record.
    books.edit(lambda lines: lines[1].update(note='naïve, "quoted"; 雪'))
    crm.run("UPDATE contacts SET full_name = 'Ours' WHERE email = 'file@x.org'")
    until(lambda: books.by_email()["file@x.org"]["name"] == "Ours", "the edit of the database is in the file")
    until(
        lambda: crm.value("SELECT note FROM contacts WHERE email = 'file@x.org'") == 'naïve, "quoted"; 雪',
        "the edit of the file is in the database",
    )
    # A cell that is emptied, a line that is made, a record that is made.
    books.edit(lambda lines: lines[1].update(note=""))
    books.edit(lambda lines: lines.append(line("9", "new@x.org", name="New")))
    crm.run("INSERT INTO contacts (email) VALUES ('also@x.org')")
    engine.wait()
    until(lambda: len(books.lines()) == 5 and agree(crm, books), "both hold the five")

    # Deletions, in both directions.
    books.edit(lambda lines: lines.remove(next(one for one in lines if one["email"] == "new@x.org")))
    crm.run("DELETE FROM contacts WHERE email = 'also@x.org'")
    until(
        lambda: len(books.lines()) == 3 and crm.value("SELECT count(*) FROM contacts") == 3, "both deletions are copied"
    )

    # An editor that writes in place: the file holds a part of its lines for a while. Nobody takes the rest for deleted.
    whole = books.file.read_bytes()
    with books.file.open("r+b") as file:
        file.truncate(0)
        for start in range(0, len(whole), 16):
            file.write(whole[start : start + 16])
            file.flush()
            os.fsync(file.fileno())
    engine.wait()
    assert crm.value("SELECT count(*) FROM contacts") == 3
    assert engine.status("people")["in_sync"] == 3

    # What is done while nobody looks, deletions too, is known when Tandem is back: no full read, nothing inferred.
    assert engine.down() == 0
    books.edit(lambda lines: (lines.pop(0), lines[0].update(name="while away")))
    crm.run("UPDATE contacts SET note = 'meanwhile' WHERE email = 'db@x.org'")
    engine.up(workers=1)
    until(lambda: crm.value("SELECT count(*) FROM contacts") == 2, "the deletion made meanwhile is copied")
    engine.wait()
    until(lambda: agree(crm, books), "both hold the same")
    assert books.by_email()["db@x.org"]["note"] == "meanwhile"
    assert engine.records("people", "--status", "failing") == []


def test_a_file_that_does_not_fit_is_shown_and_taken_up_again_when_mended(installed: str, engines: Make) -> None:
    engine, books = make(engines)
    crm = engine.databases["crm"]
    books.save([line("1", "a@x.org"), line("2", "b@x.org")])
    engine.up(workers=1)
    engine.wait()
    good = books.file.read_text()
    books.file.write_text(good + "3,c@x.org,too few\n")
    crm.run("UPDATE contacts SET full_name = 'waits' WHERE email = 'a@x.org'")
    until(
        # On its way it is pending without a message first.
        lambda: [one["message"] for one in engine.records("people", "--status", "pending") if one["message"]],
        "the write waits for the account",
    )
    (message,) = [one["message"] for one in engine.records("people", "--status", "pending")]
    assert "people.csv cannot be read" in message
    assert crm.value("SELECT count(*) FROM contacts") == 2
    books.file.write_text(good + "3,c@x.org,Cid,,\n")
    until(lambda: crm.value("SELECT full_name FROM contacts WHERE email = 'c@x.org'") == "Cid", "the new line is there")
    until(lambda: books.by_email()["a@x.org"]["name"] == "waits", "what waited is written")
