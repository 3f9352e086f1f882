"""The embedded PostgreSQL: a real one, also as root, also where its user cannot reach the home."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from deploy import reach
from deploy.errors import InUseError, ServerEndedError, StartFailedError
from deploy.ports import LOOPBACK
from deploy.postgres import EmbeddedPostgres
from deploy.postgres_binaries import VERSIONS
from tests.deploy.watching import gone

pytestmark = pytest.mark.e2e


def let_everybody_enter(tmp_path: Path) -> None:
    """Pytest makes its folders for their owner alone."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 == 0o005:
            return
        folder.chmod(0o755)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test alone, not yet started; its data are in its home."""
    let_everybody_enter(tmp_path)
    server = EmbeddedPostgres(tmp_path)
    yield server
    server.discard()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.SQL(query)).fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("wal_level", "logical"), ("max_replication_slots", "64"), ("max_wal_senders", "64"), ("max_connections", "200"),
     ("fsync", "on"), ("listen_addresses", LOOPBACK), ("password_encryption", "scram-sha-256"), ("server_encoding", "UTF8")],
)  # fmt: skip
def test_it_is_set_up_for_capture(postgres: EmbeddedPostgres, setting: str, value: str) -> None:
    assert ask(postgres.url(), f"SELECT current_setting('{setting}')") == value


async def test_a_database_is_made_once_whatever_its_name(postgres: EmbeddedPostgres) -> None:
    name = 'shop "1"/ü'
    url = await postgres.create_database(name)
    assert await postgres.create_database(name) == url
    assert ask(url, "SELECT current_database()") == name
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def test_nobody_gets_in_without_the_password_and_only_its_owner_can_read_it(
    postgres: EmbeddedPostgres, servers_home: Path
) -> None:
    assert stat.S_IMODE((servers_home / "postgres-16" / "password").stat().st_mode) == 0o600
    wrong = postgres.url().replace(":", ":x", 2).replace("postgresql:x", "postgresql:")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_letters_beyond_ascii_have_upper_and_lower_case(database: str) -> None:
    assert ask(database, "SELECT lower('ÉCOLE')") == "école"


async def test_a_second_start_on_the_same_home_is_refused_while_the_first_runs(
    postgres: EmbeddedPostgres, servers_home: Path
) -> None:
    with pytest.raises(InUseError, match="in use"):
        await EmbeddedPostgres(servers_home).start()
    assert ask(postgres.url(), "SELECT 1") == 1


async def test_it_starts_again_on_its_data_after_a_stop_and_after_a_kill(own: EmbeddedPostgres) -> None:
    async with own:
        first_url, first_pid = own.url(), own.pid
        with psycopg.connect(first_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    assert gone([first_pid])

    async with own:
        assert own.url() == first_url
        with psycopg.connect(first_url) as connection:
            connection.execute("INSERT INTO kept VALUES (2)")
        family = [process.pid for process in psutil.Process(own.pid).children()]
        os.kill(own.pid, signal.SIGKILL)
        with pytest.raises(ServerEndedError, match="status -9"):
            await own.watch()
        assert gone(family)

    with socket.create_server((LOOPBACK, own._port("server"))):  # its port is another's meanwhile
        async with own:
            assert own.url() != first_url
            assert ask(own.url(), "SELECT sum(value) FROM kept") == 3


async def test_a_client_that_receives_a_stream_and_reads_nothing_does_not_hold_up_the_stop(
    own: EmbeddedPostgres,
) -> None:
    import psycopg2
    import psycopg2.extras

    async with own:
        with psycopg.connect(own.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE big AS SELECT repeat('x', 1000) AS value FROM generate_series(1, 10)")
            connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
            connection.execute("SELECT pg_create_logical_replication_slot('frozen', 'pgoutput')")
            frozen = psycopg2.connect(own.url(), connection_factory=psycopg2.extras.LogicalReplicationConnection)
            frozen.cursor().start_replication(
                "frozen", options={"proto_version": "1", "publication_names": "everything"}
            )
            connection.execute("INSERT INTO big SELECT repeat('y', 1000) FROM generate_series(1, 50000)")
        pid = own.pid
    assert gone([pid])
    frozen.close()
    async with own:  # and it recovers
        assert ask(own.url(), "SELECT count(*) FROM big") == 50_010


async def test_a_start_that_fails_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, settings={"max_connections": "many"})
    with pytest.raises(StartFailedError, match='invalid value for parameter "max_connections": "many"') as failed:
        await server.start()
    assert "postgres-16" in failed.value.remedy
    assert gone([server.pid])
    server.discard()


async def test_a_setting_can_be_another_for_a_test(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path, settings={"wal_level": "replica"}) as server:
        assert ask(server.url(), "SHOW wal_level") == "replica"
    server.discard()


async def test_an_initialisation_that_was_interrupted_is_made_anew(own: EmbeddedPostgres) -> None:
    (own.folder / "data.new" / "base").mkdir(parents=True)
    (own.folder / "data.new" / "PG_VERSION").write_text("16\n")
    async with own:
        assert ask(own.url(), "SELECT 1") == 1
    assert not (own.folder / "data.new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != 16])
async def test_every_version_that_is_supported_can_be_started(tmp_path: Path, version: int) -> None:
    server = EmbeddedPostgres(tmp_path, version=version)
    async with server:
        assert str(ask(server.url(), "SHOW server_version")).startswith(f"{version}.")
        assert ask(server.url(), "SHOW wal_level") == "logical"
    server.discard()


async def test_a_version_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StartFailedError, match="PostgreSQL 9") as refused:
        await EmbeddedPostgres(tmp_path, version=9).start()
    assert "14, 15, 16, 17, 18" in refused.value.remedy


# ---------------------------------------------------------------- as root, who may not run it

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as another user")


@as_root
async def test_as_root_it_runs_as_another_user(own: EmbeddedPostgres) -> None:
    async with own:
        assert psutil.Process(own.pid).uids().real != 0


@as_root
async def test_as_root_with_a_home_in_reach_the_data_are_in_the_home(tmp_path: Path) -> None:
    let_everybody_enter(tmp_path)
    async with EmbeddedPostgres(tmp_path) as server:
        assert (tmp_path / "postgres-16" / "data" / "PG_VERSION").exists()
        assert not (tmp_path / "postgres-16" / "elsewhere").exists()
    server.discard()


@as_root
async def test_as_root_with_a_home_out_of_reach_the_data_are_elsewhere_and_the_home_says_where(tmp_path: Path) -> None:
    home = tmp_path / "closed" / "home"
    home.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    async with EmbeddedPostgres(home) as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept ()")
    noted = Path((home / "postgres-16" / "elsewhere").read_text().strip())
    assert (noted / "data" / "PG_VERSION").exists()
    assert (noted / "belongs-to").read_text().strip() == str(home / "postgres-16")
    async with EmbeddedPostgres(home) as again:
        assert ask(again.url(), "SELECT to_regclass('kept')") == "kept"
    again.discard()
    assert not noted.exists()


@as_root
async def test_as_root_programs_out_of_reach_are_copied_once(tmp_path: Path) -> None:
    identity = reach.identity_for_server(tmp_path / "no data yet")
    assert identity is not None
    closed = tmp_path / "site-packages"
    (closed / "package" / "install" / "bin").mkdir(parents=True)
    (closed / "package.libs").mkdir()
    program = closed / "package" / "install" / "bin" / "postgres"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    (closed / "package.libs" / "lib.so").write_text("")
    closed.chmod(0o700)
    assert not await reach.can_run(identity, str(program))
    label = f"test-{tmp_path.name}"
    place = reach.place_of(identity) / label
    try:
        copy = reach.copy_of(identity, closed / "package" / "install", (closed / "package.libs",), label)
        assert await reach.can_run(identity, str(copy / "bin" / "postgres"))
        assert (copy.parent.parent / "package.libs" / "lib.so").exists()
        inode = (copy / "bin" / "postgres").stat().st_ino
        reach.copy_of(identity, closed / "package" / "install", (closed / "package.libs",), label)
        assert (copy / "bin" / "postgres").stat().st_ino == inode
    finally:
        import shutil

        shutil.rmtree(place)


@as_root
async def test_as_root_a_folder_that_another_made_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = reach.identity_for_server(tmp_path / "no data yet")
    assert identity is not None
    monkeypatch.setattr(reach, "_COMMON", (tmp_path,))
    place = tmp_path / f"tandem-{identity.name}"
    place.mkdir()
    os.chown(place, identity.uid, identity.gid)
    with pytest.raises(StartFailedError, match="cannot be trusted"):
        reach.place_of(identity)
