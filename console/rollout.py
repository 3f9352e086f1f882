"""Applying a file for real: the accounts are asked, what stands in the way is said, and the configuration goes out.

Responsible for the order of these steps, for `apply` and `up` alike. Must not know how they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from console.accounts import AccountReport, catalogs_in_use, objects_of
from console.applied import Applied, AppliedStore
from console.applying import Proposal, orders_of, propose
from console.errors import FailedError, WrongUseError
from console.target import refused
from rules.catalog import Catalog
from rules.config import Installation, check_catalogs

Reports = Mapping[str, AccountReport]


def sound_catalogs(installation: Installation, reports: Reports) -> dict[str, Catalog]:
    """The catalogs of all accounts. Raises for the file's mistakes as wrong use, else for the accounts' troubles."""
    mistakes = check_catalogs(installation, answered(reports))
    if mistakes:
        raise refused(mistakes)
    troubles = troubles_of(installation, reports)
    if troubles:
        raise FailedError("An account cannot be synced as it is; nothing was changed.", "\n".join(troubles))
    return catalogs_in_use(installation, reports)


def answered(reports: Reports) -> dict[str, Catalog]:
    """All that the accounts hold which could be asked."""
    return {account: report.catalog for account, report in reports.items() if report.catalog is not None}


def troubles_of(installation: Installation, reports: Reports) -> list[str]:
    """What must be mended in accounts that syncs use, with how, as lines."""
    lines: list[str] = []
    for account, report in reports.items():
        if not objects_of(installation, account):
            continue
        for problem in report.fatal:
            lines.append(f"{account}: {problem.message}")
            lines += [f"    {problem.remedy}"] if problem.remedy else []
    return lines


def proposed(
    before: Applied | None, installation: Installation, catalogs: dict[str, Catalog], *, keep_left: bool
) -> Proposal:
    """What would change. Raises `WrongUseError` for what cannot be changed."""
    proposal = propose(before, installation, catalogs, keep_left=keep_left)
    if proposal.refused:
        lines = [line for change in proposal.refused for line in (change.text, f"    {change.refused}")]
        raise WrongUseError("The file asks for what cannot be changed; nothing was.", "\n".join(lines))
    return proposal


async def roll_out(
    store: AppliedStore, installation: Installation, catalogs: dict[str, Catalog], *, keep_left: bool
) -> Applied:
    """Applies the file, whatever somebody else has applied meanwhile; returns when all is stored."""

    def change(before: Applied | None) -> Applied:
        return propose(before, installation, catalogs, keep_left=keep_left).after

    return await store.replace(change, orders_of)
