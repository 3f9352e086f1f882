"""What `check` looks for in an account, and what it says to do about it. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.base import ConnectorError, Context, Health, Problem
from connectors.postgres import ledger, pairings, slots
from connectors.postgres.client import Connection
from connectors.postgres.names import PREFIX, quote
from connectors.postgres.tables import Discovered, Table


class Subject(msgspec.Struct, frozen=True):
    """Whose account is checked, and the names of what is ours in it."""

    context: Context
    url: str
    slot: str
    publication: str
    own_publication: bool


def unreachable(error: ConnectorError) -> Health:
    """The health of an account that does not answer."""
    return Health("", (Problem(error.message, error.remedy),))


def publication_remedy(publication: str, tables: Sequence[Table], version: int) -> str:
    """The statement that an administrator runs."""
    return f"have the tables' owner run: {slots.publication_sql(publication, tables, version, exists=False)};"


class _Facts(msgspec.Struct, frozen=True):
    role: str
    superuser: bool
    replication: bool
    wal_level: str
    recovering: bool
    slots_used: int
    slots_limit: int
    senders_used: int
    senders_limit: int
    may_publish: bool
    version: str


_FACTS = """
SELECT current_user::text, r.rolsuper, r.rolsuper OR r.rolreplication OR pg_has_role(current_user, r2.oid, 'USAGE') IS TRUE,
       current_setting('wal_level'), pg_is_in_recovery(),
       (SELECT count(*) FROM pg_replication_slots)::int, current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_stat_replication)::int, current_setting('max_wal_senders')::int,
       has_database_privilege(current_database(), 'CREATE'), current_setting('server_version')
FROM pg_roles r LEFT JOIN pg_roles r2 ON r2.rolname = 'rds_replication'
WHERE r.rolname = current_user"""


async def check(connection: Connection, subject: Subject, found: Discovered) -> Health:
    """All problems at once."""
    row = await (await connection.execute(_FACTS)).fetchone()
    assert row is not None
    facts = _Facts(*row)
    problems = _server(facts)
    problems += await _slot(connection, subject, facts)
    tables = _objects(subject, found, facts.role, problems)
    problems += await _publication(connection, subject, found.behind(tables), facts)
    problems += await _ledger(connection, facts)
    problems += await _orphans(connection, subject)
    return Health(f"PostgreSQL {facts.version}", tuple(problems))


def _server(facts: _Facts) -> list[Problem]:
    problems = []
    if facts.wal_level != "logical":
        problems.append(
            Problem(
                f"the server's wal_level is {facts.wal_level}, so its log does not tell of rows",
                "set wal_level = logical in postgresql.conf (ALTER SYSTEM SET wal_level = 'logical';) and restart it",
            )
        )
    if facts.recovering:
        problems.append(Problem("the server is a standby, which cannot be written to", "give the primary's address"))
    if not facts.replication:
        problems.append(
            Problem(f"the role {facts.role} may not read the log", f"ALTER ROLE {quote(facts.role)} REPLICATION;")
        )
    if facts.senders_used >= facts.senders_limit:
        problems.append(
            Problem(
                f"all {facts.senders_limit} WAL senders of the server are taken",
                "raise max_wal_senders and restart the server",
            )
        )
    return problems


async def _slot(connection: Connection, subject: Subject, facts: _Facts) -> list[Problem]:
    state = await slots.slot_state(connection, subject.slot)
    if state is None:
        if facts.slots_used < facts.slots_limit:
            return []
        remedy = (
            "raise max_replication_slots and restart the server, or drop slots that nobody uses (pg_replication_slots)"
        )
        return [Problem(f"all {facts.slots_limit} replication slots of the server are taken", remedy)]
    if state.lost is not None:
        message = f"the replication slot {subject.slot} is lost: {state.lost}"
        return [
            Problem(
                message, "it is made anew, and the objects are read in full; raise max_slot_wal_keep_size", fatal=False
            )
        ]
    if not subject.context.objects and state.active_pid is None:
        # Its syncs left the file while no service ran, so nobody has given it back.
        message = f"no sync uses the account any more, but its replication slot {subject.slot} still holds back the server's log"
        remedy = f"SELECT pg_drop_replication_slot('{subject.slot}');"
        if subject.own_publication:
            remedy += f" DROP PUBLICATION IF EXISTS {quote(subject.publication)};"
        return [Problem(message, remedy, fatal=False)]
    return []


def _objects(subject: Subject, found: Discovered, role: str, problems: list[Problem]) -> list[Table]:
    """Adds the problems of the objects in use; returns those without any."""
    sound = []
    for use in subject.context.objects:
        table = found.tables[use.name]
        for problem in table.problems:
            what, _, remedy = problem.partition(": ")
            problems.append(Problem(f"{use.name}: {what}", remedy))
        if table.problems:
            continue
        sound.append(table)
        allowed = {"INSERT": table.creatable, "UPDATE": table.updatable, "DELETE": table.deletable}
        lacking = [verb for verb, may in allowed.items() if not may]
        if lacking:
            verbs = ", ".join(lacking)
            message = f"{use.name}: the role {role} lacks {verbs} on {table.native}, so a sync cannot do that there"
            problems.append(Problem(message, f"GRANT {verbs} ON {table.sql} TO {quote(role)};", fatal=False))
        for pairing in table.pairings:
            problems += [Problem(f"{use.name}: {what}", how, fatal=False) for what, how in pairings.remedies(pairing)]
    return sound


async def _publication(
    connection: Connection, subject: Subject, tables: Sequence[Table], facts: _Facts
) -> list[Problem]:
    now = await slots.published(connection, subject.publication)
    remedy = publication_remedy(subject.publication, tables, connection.info.server_version)
    if not subject.own_publication:
        if now is None:
            return [Problem(f"there is no publication {subject.publication}", remedy)]
        missing = slots.missing_from(now, tables)
        if missing:
            listed = ", ".join(table.native for table in missing)
            sql = ", ".join(table.sql for table in missing)
            add = f"ALTER PUBLICATION {quote(subject.publication)} ADD TABLE {sql};"
            return [Problem(f"the publication {subject.publication} lacks {listed}", add)]
        return []
    if now is not None and not slots.missing_from(now, tables):
        return []
    owned = await slots.not_owned(connection, tables)
    if now is None and not facts.may_publish and not facts.superuser:
        return [Problem(f"the role {facts.role} may not make a publication", f"{remedy} and name it as `publication:`")]
    if owned:
        listed = ", ".join(table.native for table in owned)
        return [
            Problem(
                f"the role {facts.role} does not own {listed}, so it cannot publish them",
                f"{remedy} and name it as `publication:`",
            )
        ]
    return []


async def _ledger(connection: Connection, facts: _Facts) -> list[Problem]:
    if await ledger.is_there(connection) or await ledger.may_create(connection):
        return []
    return [
        Problem(
            f"the role {facts.role} may not make the schema tandem, where Tandem remembers its writes; without it records "
            "without an identifier cannot be created here",
            f"have an administrator run:\n{ledger.statements(facts.role)}",
            fatal=False,
        )
    ]


async def _orphans(connection: Connection, subject: Subject) -> list[Problem]:
    problems = []
    for name, size in await slots.orphans(connection, PREFIX, subject.slot):
        message = (
            f"the replication slot {name} is read by nobody and holds back {size / 1e6:.0f} MB of the server's log"
        )
        remedy = f"if no other installation or account of Tandem uses it: SELECT pg_drop_replication_slot('{name}');"
        problems.append(Problem(message, remedy, fatal=False))
    return problems
