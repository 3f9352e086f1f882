"""`check`, `discover`, `suggest`: what the accounts say, before anything is synced."""

from __future__ import annotations

import asyncio

import click
import msgspec
from rich.text import Text

from connectors.base import ConnectorError
from console.abilities import in_words
from console.accounts import AccountReport, connector_of, examine
from console.context import Settings, TandemCommand, pass_settings
from console.errors import FailedError, WrongUseError, unknown
from console.output import Output
from console.rollout import answered
from console.target import Target, refused
from rules.catalog import Catalog, Field, Object
from rules.config import Installation, check_catalogs
from rules.config.problems import Problem
from rules.suggest import suggest


@click.command(
    "check", cls=TandemCommand, help="Reads the file, asks every account, and says all that is wrong; changes nothing."
)
@pass_settings
def check_command(settings: Settings) -> int:
    """Checks."""
    installation = Target(settings).installation
    reports = asyncio.run(examine(installation, installation.accounts))
    mistakes = check_catalogs(installation, answered(reports))
    if settings.json:
        settings.output.document(_document(reports, mistakes))
    else:
        _show(settings.output, installation, reports)
    if mistakes:
        raise refused(mistakes)
    if any(report.fatal for report in reports.values()):
        raise FailedError("Not every account can be synced as it is.", "What to do stands below each.")
    settings.output.say(
        "All is well: `tandem up` can start." if installation.syncs else "No sync is written yet.", style="green"
    )
    return 0


def _document(reports: dict[str, AccountReport], mistakes: list[Problem]) -> dict[str, object]:
    return {
        "ok": not mistakes and not any(report.fatal for report in reports.values()),
        "accounts": [
            {
                "account": report.account,
                "connector": report.connector,
                "version": report.version or None,
                "ok": not report.fatal,
                "problems": [msgspec.to_builtins(problem) for problem in report.problems],
            }
            for report in reports.values()
        ],
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
                "remedy": problem.remedy,
            }
            for problem in mistakes
        ],
    }


def _show(output: Output, installation: Installation, reports: dict[str, AccountReport]) -> None:
    for report in reports.values():
        sign = Text("✗ ", style="red") if report.fatal else Text("✓ ", style="green")
        known = len(report.catalog.objects) if report.catalog else 0
        count = f", {known} object{'' if known == 1 else 's'}" if report.catalog else ""
        output.say(
            sign.append(f"{report.account}  ", style="bold").append(
                f"{report.version or report.connector}{count}", style="not bold default"
            )
        )
        for problem in report.problems:
            output.say(Text(f"    {problem.message}", style="red" if problem.fatal else "yellow"))
            if problem.remedy:
                output.say(Text(f"      {problem.remedy}"))
    for name, sync in installation.syncs.items():
        pair = " ↔ ".join(f"{account}:{object_name}" for account, object_name in sync.between.items())
        fields = sum(mapping.enabled for mapping in sync.mapping)
        output.say(
            Text("  ")
            .append(name, style="bold")
            .append(f"  {pair}, {sync.kind}, {sync.direction}, {fields} mappings", style="not bold default")
        )


@click.command("discover", cls=TandemCommand, help="Shows the objects of an account, or the fields of one of them.")
@click.argument("account")
@click.argument("object_name", metavar="[OBJECT]", required=False)
@pass_settings
def discover_command(settings: Settings, account: str, object_name: str | None) -> None:
    """Discovers."""
    installation = Target(settings).installation
    if account not in installation.accounts:
        raise unknown("account", account, installation.accounts)
    catalog = asyncio.run(_discover(installation, account))[account]
    if object_name is not None:
        if object_name not in catalog.objects:
            raise unknown(f"object in {account} called", object_name, catalog.objects)
        catalog = Catalog({object_name: catalog.objects[object_name]})
    if settings.json:
        settings.output.document({"account": account, "objects": msgspec.to_builtins(catalog)["objects"]})
    elif object_name is not None:
        _show_object(settings.output, catalog.objects[object_name])
    else:
        _show_objects(settings.output, catalog)


async def _discover(installation: Installation, *accounts: str) -> dict[str, Catalog]:
    """The catalogs of the accounts. Raises `FailedError` for one that cannot be asked."""
    found: dict[str, Catalog] = {}
    for account in accounts:
        try:
            connector = connector_of(installation, account)
            try:
                await connector.open()
                found[account] = await connector.discover()
            finally:
                await connector.close()
        except ConnectorError as error:
            raise FailedError(f"{account}: {error.message}", error.remedy) from error
    return found


@click.command(
    "suggest",
    cls=TandemCommand,
    help="Prints a sync block for the file: kind, identifiers and mapping, guessed from the names and types of two objects.",
)
@click.argument("first", metavar="A:OBJECT")
@click.argument("second", metavar="B:OBJECT")
@pass_settings
def suggest_command(settings: Settings, first: str, second: str) -> None:
    """Suggests."""
    installation = Target(settings).installation
    ends = [_end(installation, reference) for reference in (first, second)]
    if ends[0][0] == ends[1][0]:
        raise WrongUseError(
            "A sync pairs objects of two accounts, and both of these are of one.", "Name one of another account."
        )
    catalogs = asyncio.run(_discover(installation, *(account for account, _ in ends)))
    objects = []
    for account, name in ends:
        if name not in catalogs[account].objects:
            raise unknown(f"object in {account} called", name, catalogs[account].objects)
        objects.append((account, catalogs[account].objects[name]))
    block = suggest(objects[0], objects[1])
    if settings.json:
        settings.output.document({"block": block})
    else:
        click.echo(block, nl=False)


def _end(installation: Installation, reference: str) -> tuple[str, str]:
    account, colon, name = reference.partition(":")
    if not colon or not name:
        raise WrongUseError(
            f"{reference} names no object of an account.", "Write ACCOUNT:OBJECT, such as crm:contacts."
        )
    if account not in installation.accounts:
        raise unknown("account", account, installation.accounts)
    return account, name


def _show_objects(output: Output, catalog: Catalog) -> None:
    if not catalog.objects:
        output.say("The account holds no objects that may be read.")
        return
    output.table(
        ["object", "in the app", "fields", "key", ""],
        (
            [name, one.native, str(len(one.fields)), ", ".join(one.key), Text("; ".join(one.problems), style="yellow")]
            for name, one in sorted(catalog.objects.items())
        ),
    )


def _show_object(output: Output, one: Object) -> None:
    for problem in one.problems:
        output.say(Text(problem, style="yellow"))
    output.table(
        ["field", "type", "in the app", "", "values"],
        (
            [
                Text(field.name, style="bold" if field.name in one.key else ""),
                str(field.type.kind),
                field.type.native,
                _traits(one, field),
                _values(field),
            ]
            for field in one.fields
        ),
    )
    for line in in_words(one.capabilities):
        output.say(line, style="bright_black")


def _traits(one: Object, field: Field) -> str:
    found = ["key"] if field.name in one.key else []
    for word, holds in (("required", field.required), ("read-only", field.read_only), ("unique", field.unique)):
        found += [word] if holds else []
    by = f".{field.references_field}" if field.references_field else ""
    found += [f"→ {field.references}{by}"] if field.references else []
    return ", ".join(found)


def _values(field: Field) -> str:
    kind = field.type
    if kind.options is not None:
        return ", ".join(kind.options)
    return f"at most {kind.max_length} characters" if kind.max_length else ""
