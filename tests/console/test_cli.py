"""`tandem` as a process: exit statuses, what goes to which stream, and that nobody ever sees a traceback."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from console import cli
from console.cli import run
from tests.console.samples import contact, fill

TANDEM = str(Path(sys.executable).with_name("tandem"))
FILE = """\
name: acme
accounts:
  crm: {{connector: postgres, url: "{crm}"}}
  shop: {{connector: postgres, url: "{shop}"}}
syncs:
  contacts:
    between: {{crm: contacts, shop: customers}}
    default: crm
    mapping:
      - {{crm: mail, shop: email, identifier: email}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a read model in its home, and nothing running."""
    fill(tmp_path / ".tandem" / "read-model.db")
    return tmp_path


def tandem(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command there."""
    done = subprocess.run(
        [TANDEM, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def refused(done: subprocess.CompletedProcess[str], status: int) -> str:
    """What a command that was refused said: all of it on standard error."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    return done.stderr


# ---------------------------------------------------------------- the program


def test_without_a_command_it_shows_what_there_is(tmp_path: Path) -> None:
    done = tandem(tmp_path)
    assert done.returncode == 0
    for command in ("demo", "up", "apply", "status", "wait", "tap"):
        assert command in done.stdout


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_explains_itself_with_the_options_of_the_whole_program(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    for option in ("--file", "--home", "--broker", "--log-level", "--json"):
        assert option in shown


def test_an_unknown_command_is_wrong_use_with_what_was_meant(tmp_path: Path) -> None:
    assert "Did you mean status?" in refused(tandem(tmp_path, "statsu"), 2)


def test_an_unknown_option_is_wrong_use_with_what_was_meant(tmp_path: Path) -> None:
    assert "--status" in refused(tandem(tmp_path, "records", "--statu", "failing"), 2)


def test_a_value_that_is_none_is_wrong_use_with_those_there_are(tmp_path: Path) -> None:
    said = refused(tandem(tmp_path, "records", "--status", "broken"), 2)
    assert "failing" in said
    assert "in_sync" in said


def test_a_missing_argument_is_wrong_use(tmp_path: Path) -> None:
    assert "SYNC" in refused(tandem(tmp_path, "off"), 2)


def test_what_nobody_expected_is_one_line_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("the sky is green\nand falls")

    monkeypatch.setattr("console.commands.look.open_service", broken)
    assert run(["--home", str(tmp_path), "status"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "ValueError: the sky is green" in said.err
    assert "and falls" not in said.err
    (report,) = (tmp_path / "logs").iterdir()
    assert str(report) in said.err
    assert "Traceback" in report.read_text()


def test_an_interrupted_command_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("console.commands.look.open_service", interrupted)
    assert run(["status"]) == 1
    assert "Interrupted" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    many = [contact(f"l{number}", crm={"id": str(number), "mail": "x" * 200}) for number in range(2000)]
    fill(folder / ".tandem" / "read-model.db", *many)
    done = subprocess.run(
        f"{TANDEM} records --json | head -c 10; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith("0\n")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# ---------------------------------------------------------------- what the read model answers


@pytest.mark.parametrize("arguments", [("--json", "status"), ("status", "--json")])
def test_global_options_stand_before_and_after_the_command(folder: Path, arguments: tuple[str, ...]) -> None:
    assert [sync["sync"] for sync in json.loads(tandem(folder, *arguments).stdout)["syncs"]] == [
        "contacts",
        "companies",
    ]
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    done = tandem(elsewhere, *arguments, "--home", str(folder / ".tandem"))
    assert len(json.loads(done.stdout)["syncs"]) == 2


def test_status_is_a_row_per_sync_and_says_how_old_it_is(folder: Path) -> None:
    done = tandem(folder, "status", "contacts")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2].split()[:6] == ["contacts", "live", "1", "1", "1", "1"]
    assert "The engine is not running; this is as of" in done.stderr


def test_status_of_a_sync_that_does_not_exist_is_wrong_use(folder: Path) -> None:
    assert "Did you mean contacts?" in refused(tandem(folder, "status", "contact"), 2)


def test_before_anything_ran_there_is_nothing_to_show(tmp_path: Path) -> None:
    for command in ("status", "records", "failures"):
        assert "tandem up" in refused(tandem(tmp_path, command), 1)


def test_records_as_json_are_one_document(folder: Path) -> None:
    done = tandem(folder, "records", "contacts", "--json", "--status", "failing")
    (record,) = json.loads(done.stdout)["records"]
    assert (record["status"], record["category"], record["shop"]) == ("failing", "invalid_value", None)
    assert json.loads(tandem(folder, "records", "companies", "--json").stdout) == {"records": []}


def test_records_are_shown_whole_where_nobody_watches(folder: Path) -> None:
    fill(folder / ".tandem" / "read-model.db", contact("l1", crm={"id": "1", "mail": "long" * 100}))
    assert "long" * 100 in tandem(folder, "records", "contacts", "--status", "in_sync").stdout


def test_what_a_database_holds_is_never_an_instruction_to_the_terminal(folder: Path) -> None:
    fill(folder / ".tandem" / "read-model.db", contact("l1", crm={"id": "1", "mail": "\x1b]0;owned\x07[red]x[/red]"}))
    shown = tandem(folder, "records", "--status", "in_sync").stdout  # `tandem` asserts that there is no escape in it
    assert "\\x1b]0;owned\\x07[red]x[/red]" in shown


def test_columns_are_chosen_by_name(folder: Path) -> None:
    shown = tandem(folder, "records", "contacts", "--status", "in_sync", "--columns", "status,shop.level,mail").stdout
    assert shown.splitlines()[0].split() == ["status", "shop.level", "crm.mail"]
    assert shown.splitlines()[2].split() == ["in_sync", "1", "ana@x.es"]
    one = json.loads(tandem(folder, "records", "--json", "--status", "in_sync", "--columns", "tier").stdout)["records"][
        0
    ]
    assert (one["crm"], one["shop"]) == ({"id": "17", "fields": {"tier": "gold"}}, {"id": "4", "fields": {}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--columns", "statsu"), "Did you mean status?"),
        (("--columns", ","), "--columns names no column"),
        (("--since", "soon"), "soon is no time"),
        (("--since", "1h", "--until", "2h"), "--since is later than --until"),
        (("--export", "x.pdf"), ".csv, .jsonl, .xlsx, .parquet"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_records_refuses_what_it_does_not_understand(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(tandem(folder, "records", "contacts", *arguments), 2)


def test_failures_tell_what_to_do(folder: Path) -> None:
    shown = tandem(folder, "failures").stdout
    assert "invalid_value  1 in contacts" in shown
    assert "level cannot be 'iron'" in shown
    assert "Choose gold or silver in crm." in shown
    found = json.loads(tandem(folder, "failures", "--json").stdout)
    assert [group["category"] for group in found["failures"]] == ["invalid_value"]


# ---------------------------------------------------------------- exports


def exported(folder: Path, name: str, *arguments: str) -> Path:
    done = tandem(folder, "records", "contacts", "--export", name, *arguments)
    assert done.returncode == 0, done.stderr
    assert "4 records written" in done.stdout
    assert [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".tandem"] == []
    return folder / name


def test_export_to_csv(folder: Path) -> None:
    with exported(folder, "out.csv").open(newline="") as file:
        rows = {row["crm.id"] or row["shop.id"]: row for row in csv.DictReader(file)}
    assert rows["17"]["shop.level"] == "1"
    assert rows["17"]["since"] == "2026-01-01T00:00:00Z"
    assert rows["9"]["category"] == "no_identifier"
    assert rows["9"]["shop.email"] == ""


def test_export_to_jsonl(folder: Path) -> None:
    records = [json.loads(line) for line in exported(folder, "out.jsonl").read_text().splitlines()]
    assert records == json.loads(tandem(folder, "records", "contacts", "--json").stdout)["records"]


def test_export_to_xlsx(folder: Path) -> None:
    sheet: Any = openpyxl.load_workbook(exported(folder, "out.xlsx", "--columns", "crm.id,crm.mail,shop.level"))[
        "records"
    ]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[0] == ["crm.id", "crm.mail", "shop.level"]
    assert ["17", "ana@x.es", 1] in rows


def test_export_to_parquet(folder: Path) -> None:
    table = pq.read_table(exported(folder, "out.parquet"))
    assert str(table.schema.field("shop.level").type) == "int64"
    assert {"17", "4", "18", None} == set(table.column("crm.id").to_pylist())
    assert sorted(value for value in table.column("shop.level").to_pylist() if value is not None) == [1, 2]


def test_an_export_to_where_nothing_can_be_written_fails(folder: Path) -> None:
    assert "cannot be written" in refused(tandem(folder, "records", "--export", "no/such/folder/x.csv"), 1)


def test_a_formula_is_no_formula_in_a_sheet(folder: Path) -> None:
    evil = contact("l1", crm={"id": "1", "mail": '=HYPERLINK("http://evil")'})
    fill(folder / ".tandem" / "read-model.db", evil)
    tandem(folder, "records", "contacts", "--export", "out.xlsx", "--status", "in_sync", "--columns", "mail")
    sheet: Any = openpyxl.load_workbook(folder / "out.xlsx")["records"]
    assert sheet["A2"].data_type == "s"


# ---------------------------------------------------------------- the file


def test_schema_is_a_json_schema_that_knows_the_connectors(tmp_path: Path) -> None:
    schema = json.loads(tandem(tmp_path, "schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "publication" in json.dumps(schema)


def test_without_a_file_it_says_which_is_missing(tmp_path: Path) -> None:
    for command in (("check",), ("up",), ("apply",), ("discover", "crm"), ("worker",)):
        assert "There is no file sync.yaml" in refused(tandem(tmp_path, *command), 2)
    assert not (tmp_path / ".tandem" / "kafka").exists()


def test_all_that_is_wrong_with_the_file_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    text = FILE.format(crm="${CRM_URL}", shop="postgresql://x").replace("default: crm", "defualt: crm")
    (tmp_path / "sync.yaml").write_text(text)
    for command in ("check", "up", "apply"):
        said = refused(tandem(tmp_path, command), 2)
        assert "sync.yaml:8:5: " in said
        assert "default" in said
        assert "sync.yaml:3:" in said
        assert "CRM_URL" in said
    assert not (tmp_path / ".tandem" / "kafka").exists()


def test_references_are_taken_from_a_file_beside_it_too(tmp_path: Path) -> None:
    (tmp_path / "sync.yaml").write_text(FILE.format(crm="${CRM_URL}", shop="${SHOP_URL}"))
    unreachable = "postgresql://u:secret-word@127.0.0.1:1/x"
    (tmp_path / ".env").write_text(f"CRM_URL={unreachable}\nSHOP_URL=postgresql://nobody@127.0.0.1:2/y\n")
    said = tandem(tmp_path, "check", SHOP_URL=unreachable)
    assert said.returncode == 1
    assert "crm" in said.stdout
    assert "nobody" not in said.stdout + said.stderr  # the environment goes before the file beside it
    assert "secret-word" not in said.stdout + said.stderr


def test_accounts_that_do_not_answer_fail_the_check_all_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"postgresql://u@127.0.0.1:{taken.getsockname()[1]}/x"
        (tmp_path / "sync.yaml").write_text(FILE.format(crm=url, shop=url))
        done = tandem(tmp_path, "check", "--json")
        assert done.returncode == 1
        found = json.loads(done.stdout)
        assert found["ok"] is False
        assert [(one["account"], one["ok"]) for one in found["accounts"]] == [("crm", False), ("shop", False)]
        assert all(one["problems"][0]["remedy"] for one in found["accounts"])
        assert "crm: " in refused(tandem(tmp_path, "apply"), 1)


def test_discover_refuses_an_account_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "sync.yaml").write_text(FILE.format(crm="postgresql://a", shop="postgresql://b"))
    assert "Did you mean crm?" in refused(tandem(tmp_path, "discover", "crn"), 2)


# ---------------------------------------------------------------- nobody to tell


def test_orders_need_somebody_to_tell(folder: Path) -> None:
    (folder / "sync.yaml").write_text(FILE.format(crm="postgresql://a", shop="postgresql://b"))
    for command in (("off", "contacts"), ("on", "contacts"), ("confirm", "contacts"), ("tap",)):
        assert "tandem up" in refused(tandem(folder, *command), 1)


def test_a_broker_that_does_not_answer_is_told(folder: Path) -> None:
    (folder / "sync.yaml").write_text(FILE.format(crm="postgresql://a", shop="postgresql://b"))
    said = refused(tandem(folder, "off", "contacts", "--broker", "127.0.0.1:1"), 1)
    assert "The broker at 127.0.0.1:1 does not answer" in said
    said = refused(tandem(folder, "off", "contacts", "--broker", "http://x"), 2)
    assert "kafka://host:9092" in said


def test_wait_ends_when_its_time_is_over(folder: Path) -> None:
    (folder / "sync.yaml").write_text(FILE.format(crm="postgresql://a", shop="postgresql://b"))
    assert "no engine runs here" in refused(tandem(folder, "wait", "--timeout", "0.2"), 1)


def test_restore_refuses_names_that_do_not_exist(folder: Path) -> None:
    assert "There is no record crm:99" in refused(tandem(folder, "restore", "contacts", "crm:99", "--into", "crm"), 2)
    assert "Did you mean shop?" in refused(tandem(folder, "restore", "contacts", "--into", "shp"), 2)
    assert "--into" in refused(tandem(folder, "restore", "contacts"), 2)


def test_restore_shows_which_records_it_is_about(folder: Path) -> None:
    gone = contact(
        "l5",
        "failing",
        crm={"id": "5", "mail": "gone@x.es"},
        shop={"id": "55", "email": "gone@x.es"},
        category="deleted",
        message="crm:5 was deleted in crm; shop:55 was left alone",
        gone=("crm",),
    )
    fill(folder / ".tandem" / "read-model.db", gone)
    found = json.loads(tandem(folder, "restore", "contacts", "--into", "crm", "--dry-run", "--json").stdout)
    assert (found["count"], found["records"][0]["crm"]["id"], found["records"][0]["shop"]["id"]) == (1, "5", "55")
    assert found["records"][0]["identifiers"] == {"shop.email": "gone@x.es", "crm.mail": "gone@x.es"}
    assert (
        json.loads(tandem(folder, "restore", "contacts", "--into", "shop", "--dry-run", "--json").stdout)["count"] == 0
    )
    assert (
        "1 record of contacts to be restored into crm"
        in tandem(folder, "restore", "contacts", "5", "--into", "crm", "--dry-run").stdout
    )
