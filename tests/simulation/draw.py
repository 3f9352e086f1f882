"""What a history is played on: apps and rules, as a seed or Hypothesis chooses them. The first choice is always the plainest."""

from __future__ import annotations

from typing import Any

import msgspec

from rules.catalog import Object
from tests.rules.world import changed
from tests.simulation.account import Account
from tests.simulation.apps import Machine
from tests.simulation.chooser import Chooser
from tests.simulation.counts import Counts
from tests.simulation.crashes import Crashes
from tests.simulation.deeds import Deed
from tests.simulation.objects import CONTACTS, CUSTOMERS, DEALS, LEADS, able, as_given, stored

Config = dict[str, Any]


class Setting(msgspec.Struct):
    """One draw."""

    accounts: dict[str, Account]
    syncs: dict[str, Config]
    robots: bool = False


class Draw:
    """Draws a setting. `deeds`, `crashes`: of the history that will be played on it."""

    def __init__(self, chooser: Chooser, deeds: list[Deed], counts: Counts, crashes: Crashes) -> None:
        self._chooser, self._deeds, self._counts, self._crashes = chooser, deeds, counts, crashes

    def setting(self) -> Setting:
        """Two accounts; or a hub and its spokes."""
        setting = self._hub() if self._chooser.chance(0.12) else self._two()
        size = self._chooser.pick([1000, 1, 2, 5])
        for account in setting.accounts.values():
            account.page_size = size
        _introduce(setting)
        return setting

    def _maybe(self, probability: float) -> bool:
        return self._chooser.chance(probability)

    # ---------------------------------------------------------------- accounts

    def _account(self, name: str, *objects: Object) -> Account:
        way = self._chooser.weigh({"log": 80, "token": 12, "scan": 8})
        account = Account(name, way, self._chooser, self._crashes)
        # An account that is scanned may keep a ledger, too: its creates are known again, but no row tells which write was ours.
        tokens, compares = not self._maybe(0.6 if way == "scan" else 0.2), not self._maybe(0.15)
        finds = not tokens or not self._maybe(0.1)
        form = stored if self._maybe(0.5) else as_given
        sparse = way == "log" and self._maybe(0.2)
        for object in objects:
            logs = way != "scan"
            known = able(object, capture=way, tokens=tokens, echoes=logs, compare_and_set=compares, sees_deletions=logs)
            machine = Machine(name, known, account.journal, account.ledger, self._deeds)
            machine.unlogged, machine.finds, machine.stored_form = way == "scan", finds, form
            machine.sparse = sparse
            account.machines[object.name] = machine
        return account

    def _two(self) -> Setting:
        customers, leads = CUSTOMERS, LEADS
        if self._maybe(0.2):
            customers = changed(customers, full_name={"required": True})
        elif self._maybe(0.3):
            customers = changed(customers, full_name={"nullable": False})
        if self._maybe(0.3):
            leads = changed(leads, customer={"required": True})
        if self._maybe(0.4):
            leads = changed(leads, body={"nullable": False})
        more = self._chooser.weigh({"": 50, "notes": 14, "regions": 10, "leads": 12, "deals": 14})
        crm = self._account("crm", CONTACTS, *([DEALS] if more == "deals" else []))
        shop = self._account("shop", customers, *([leads] if more in ("leads", "deals") else []))
        setting = Setting({"crm": crm, "shop": shop}, {"people": self._people()})
        self._trouble(shop.machines)
        match more:
            case "notes":
                setting.syncs["notes"] = self._notes()
            case "regions":
                self._split_into_regions(setting.syncs)
            case "leads":
                setting.syncs["leads"] = self._leads()
            case "deals":
                setting.syncs["deals"] = self._deals()
            case _:
                pass
        setting.robots = self._maybe(0.03)
        return setting

    def _trouble(self, machines: dict[str, Machine]) -> None:
        """The shop's own rules."""
        customers = machines["customers"]
        if self._maybe(0.2):
            customers.unique = ("tel",)
        if self._maybe(0.3):
            customers.strict = ("full_name",)
        if self._maybe(0.5):
            customers.refers["chief"] = customers
        if "leads" in machines and self._maybe(0.5):
            machines["leads"].refers["customer"] = customers

    def _hub(self) -> Setting:
        """A hub, and three spokes that meet nowhere else: three connections that share an account."""
        accounts = {"hub": self._account("hub", CONTACTS)}
        syncs: dict[str, Config] = {}
        kind = self._chooser.pick(["contact", "deal"])
        empty = self._chooser.pick(["keep", "propagate"])
        for spoke in ("s1", "s2", "s3"):
            accounts[spoke] = self._account(spoke, CUSTOMERS)
            mapping: list[Config] = [
                {"hub": "email", spoke: "mail", "identifier": "email"},
                {"hub": "name", spoke: "full_name"},
                {"hub": "notes", spoke: "memo"},
            ]
            if kind == "deal":
                del mapping[0]["identifier"]
            syncs[f"to-{spoke}"] = {
                "between": {"hub": "contacts", spoke: "customers"},
                "kind": kind,
                "mapping": mapping,
                "direction": "both",
                "default": "hub",
                "empty": empty,
                "deletes": "keep",
            }
        return Setting(accounts, syncs)

    # ---------------------------------------------------------------- rules

    def _policy(self) -> Config:
        """Direction, default and what becomes of empty values and deletions."""
        pick = self._chooser.pick
        direction = pick(["both", "both", "both", "to shop", "to crm"])
        source = {"to shop": "crm", "to crm": "shop"}.get(direction)
        chosen: Config = {"direction": direction, "empty": pick(["keep", "keep", "propagate"])}
        chosen["deletes"] = pick(["keep", "keep", "propagate"])
        if chosen["deletes"] == "propagate":
            chosen["max_deletes"] = pick([1000, 5, 2])
        chosen["default"] = source if source and not self._maybe(0.2) else pick(["crm", "shop"])
        return chosen

    def _people(self) -> Config:
        kind = self._chooser.weigh({"contact": 40, "custom": 20, "deal": 15, "company": 10, "product": 10, "two": 10})
        email: Config = {"crm": "email", "shop": "mail", "identifier": "email"}
        name: Config = {"crm": "name", "shop": "full_name"}
        phone: Config = {"crm": "phone", "shop": "tel"}
        mapping = [email, name, phone]
        match kind:
            case "deal":
                del email["identifier"]
            case "two":
                kind, name["identifier"] = "custom", "name"
            case "company":
                del email["identifier"]
                name["identifier"] = "name"
                mapping = [{"crm": "site", "shop": "web", "identifier": "domain"}, name, phone, email]
            case "product":
                del email["identifier"]
                phone["identifier"], name["identifier"] = "sku", "name"
                mapping = [phone, name, email]
            case _:
                pass
        if self._maybe(0.2):
            phone["direction"] = self._chooser.pick(["to crm", "to shop"])
        if self._maybe(0.25):
            mapping.append({"crm": "size", "shop": "staff"})
        if self._maybe(0.25):
            mapping.append({"crm": "grade", "shop": "rank", "values": {"low": "1", "high": "2"}})
        if self._maybe(0.2):
            mapping.append({"shop": "memo", "value": "made by a sync"})
        if self._maybe(0.35):
            mapping.append({"crm": "boss", "shop": "chief", "association": "people"})
        config = {"between": {"crm": "contacts", "shop": "customers"}, "kind": kind, "mapping": mapping}
        config |= self._policy()
        _narrow(config)
        if self._maybe(0.3):
            config["filters"] = self._filters()
        return config

    def _filters(self) -> Config:
        side, field = self._chooser.pick([("crm", "notes"), ("shop", "memo")])
        condition = self._chooser.pick(
            [
                {"field": field, "op": "ne", "value": "n1"},
                {"field": field, "op": "not_in", "value": ["n1", "n2"]},
                {"field": field, "op": "eq", "value": "n2"},
                {"field": field, "op": "is_empty"},
            ]
        )
        return {side: [condition]}

    def _notes(self) -> Config:
        """A second sync of the same two objects."""
        between = self._chooser.pick(
            [{"crm": "contacts", "shop": "customers"}, {"shop": "customers", "crm": "contacts"}]
        )
        mapping = [{"crm": "notes", "shop": "memo"}]
        return {"between": between, "kind": "custom", "mapping": mapping, **self._policy()}

    def _split_into_regions(self, syncs: dict[str, Config]) -> None:
        """Two syncs on one pair, each with the records of one region."""
        mapping = [entry for entry in syncs["people"]["mapping"] if "value" not in entry and "association" not in entry]
        mapping.append({"crm": "notes", "shop": "memo"})
        for name, region in (("people", "n1"), ("others", "n2")):
            syncs[name] = {
                **syncs["people"],
                "mapping": [dict(entry) for entry in mapping],
                "filters": {
                    "crm": [{"field": "notes", "op": "eq", "value": region}],
                    "shop": [{"field": "memo", "op": "eq", "value": region}],
                },
            }

    def _leads(self) -> Config:
        """Another object of the shop, for the same contacts."""
        mapping = [{"crm": "name", "shop": "title"}, {"crm": "notes", "shop": "body"}]
        return {"between": {"crm": "contacts", "shop": "leads"}, "kind": "deal", "mapping": mapping, **self._policy()}

    def _deals(self) -> Config:
        """Objects of their own, which refer to people."""
        mapping = [
            {"crm": "title", "shop": "title"},
            {"crm": "notes", "shop": "body"},
            {"crm": "people", "shop": "customer", "association": "people"},
        ]
        return {"between": {"crm": "deals", "shop": "leads"}, "kind": "deal", "mapping": mapping, **self._policy()}


def _narrow(config: Config) -> None:
    """A direction of a mapping never widens that of its sync."""
    for entry in config["mapping"]:
        if "direction" in entry and config["direction"] not in ("both", entry["direction"]):
            del entry["direction"]


def _introduce(setting: Setting) -> None:
    """Each app knows those at the other ends of its syncs."""
    for config in setting.syncs.values():
        first, second = (setting.accounts[account].machines[name] for account, name in config["between"].items())
        for one, other in ((first, second), (second, first)):
            if other not in one.opposite:
                one.opposite.append(other)
