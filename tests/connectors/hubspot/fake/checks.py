"""What a write must satisfy besides the formats: references, the administrators' rules, lifecycle, money, the blocklist.

Responsible for refusing. Must not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from . import standard
from .definitions import ObjectType, Property
from .errors import RefusedError, invalid
from .portal import Actor, Portal, whole


def reference(portal: Portal, definition: Property, value: str) -> None:
    """An owner that does not exist or has left is refused; pipelines and stages are checked together (`stage`)."""
    if definition.reference != "OWNER" or not value:
        return
    archived = portal.store.value("SELECT archived FROM owner WHERE id = ?", whole(value))
    if archived is None or archived:
        raise invalid(
            f"Owner {value} does not exist or is deactivated", "INVALID_OWNER_ID", propertyName=definition.name
        )


def writable(definition: Property, actor: Actor) -> None:
    """Calculated and read-only values are not written by anybody."""
    if definition.calculated or definition.read_only:
        message = f'"{definition.name}" is a read only property; its value cannot be set'
        raise invalid(message, "READ_ONLY_VALUE", propertyName=definition.name)
    sensitive_write(definition, actor)


def sensitive_write(definition: Property, actor: Actor) -> None:
    """Sensitive data needs a scope of its own."""
    if definition.sensitivity != "non_sensitive" and not actor.is_person:
        needed = f"crm.objects.{definition.sensitivity}.write.v2"
        if not any(scope.endswith(f".{definition.sensitivity}.write.v2") for scope in actor.scopes):
            raise missing_scopes([needed])


def missing_scopes(needed: list[str]) -> RefusedError:
    """403 that names what is missing."""
    message = "This app hasn't been granted all required scopes to make this call. Read more about required scopes."
    entry = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredGranularScopes": needed},
    }
    return RefusedError(403, "MISSING_SCOPES", message, errors=[entry])


def stage(portal: Portal, kind: ObjectType, given: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Pipeline and stage are written both or neither, and belong together."""
    if not kind.pipeline or not ({kind.pipeline, kind.stage} & given.keys()):
        return
    for one, other in ((kind.pipeline, kind.stage), (kind.stage, kind.pipeline)):
        if one in given and other not in given:
            raise invalid(f"{one} and {other} are written together", "MISSING_PIPELINE_OR_STAGE", propertyName=other)
    pipeline, found = after.get(kind.pipeline, ""), after.get(kind.stage, "")
    if not pipeline and not found:
        return
    known = portal.catalog.pipelines(kind.id).get(pipeline)
    if known is None:
        raise invalid(
            f"{pipeline} is not a valid pipeline of {kind.name}", "INVALID_PIPELINE_ID", propertyName=kind.pipeline
        )
    if found not in {each["id"] for each in known["stages"]}:
        message = f"{found} is not a stage of the pipeline {pipeline}"
        raise invalid(message, "INVALID_PIPELINE_STAGE_ID", propertyName=kind.stage)


def lifecycle(portal: Portal, kind: ObjectType, given: dict[str, str], before: Mapping[str, str]) -> None:
    """The lifecycle stage goes forward only; to go back it is cleared first. May drop the value from `given`."""
    new, old = given.get(standard.FORWARD, ""), before.get(standard.FORWARD, "")
    if not new or not old:
        return
    order = [option.value for option in portal.catalog.property(kind, standard.FORWARD).options]
    if old not in order or order.index(new) >= order.index(old):
        return
    if portal.knobs.lifecycle_backward == "ignore":
        del given[standard.FORWARD]
        return
    message = f"{standard.FORWARD} cannot go back from {old} to {new}; clear it first"
    raise invalid(message, "INVALID_LIFECYCLE_STAGE", propertyName=standard.FORWARD)


def money(portal: Portal, kind: ObjectType, given: Mapping[str, str], after: dict[str, str]) -> None:
    """An amount goes with its currency. Sets the amount in the company's currency, which is calculated."""
    listed = portal.catalog.properties(kind.id)
    for name, value in given.items():
        currency = listed[name].currency_property
        if currency and value and not after.get(currency):
            raise invalid(f"{name} is written together with {currency}", "MISSING_CURRENCY", propertyName=currency)
    if "amount_in_home_currency" in listed:
        amount, rate = after.get("amount"), portal.catalog.rates.get(after.get("deal_currency_code", ""))
        after.pop("amount_in_home_currency", None)
        if amount and rate:
            after["amount_in_home_currency"] = format((Decimal(amount) * Decimal(rate)).normalize(), "f")


def rules(portal: Portal, kind: ObjectType, given: Mapping[str, str], after: Mapping[str, str], *, new: bool) -> None:
    """What administrators ask for: some properties on creation, some when another has a certain value."""
    listed = portal.store.all(
        "SELECT property, when_property, when_value FROM rule WHERE object = ? ORDER BY id", kind.id
    )
    for name, when, value in listed:
        if after.get(name):
            continue
        if when is None:
            if new:
                message = f"Missing required property: {name}"
                raise invalid(message, "MISSING_REQUIRED_PROPERTY", propertyName=name)
        elif after.get(when) == value and (new or {name, when} & given.keys()):
            message = f"Missing conditionally required property: {name} (because {when} is {value})"
            raise invalid(message, "MISSING_CONDITIONAL_REQUIRED_PROPERTY", propertyName=name)


def blocked(portal: Portal, kind: ObjectType, given: Mapping[str, str]) -> None:
    """An address on the blocklist of GDPR deletions makes no contact."""
    email = given.get("email", "")
    if (
        kind.name == "contacts"
        and email
        and portal.store.value("SELECT 1 FROM blocklist WHERE email = ?", email.lower())
    ):
        raise invalid(
            "The contact's email is on the blocklist of GDPR deletions", "BLOCKLISTED_EMAIL", propertyName="email"
        )
