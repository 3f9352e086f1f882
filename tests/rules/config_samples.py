"""A complete sync.yaml and two connectors' models, for the tests of the configuration."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, SecretStr, field_validator

from rules.config import ConnectorModels

GOOD = """\
name: acme
broker: kafka://127.0.0.1:9092
retention: 30d
accounts:
  crm:
    connector: postgres
    url: ${CRM_URL}
    publication: tandem
    objects:
      contacts: {table: public.contacts, exclude: [ssn]}
  shop:
    connector: postgres
    url: ${SHOP_URL}
  portal:
    connector: memory
syncs:
  companies:
    between: {crm: companies, shop: firms}
    kind: company
    direction: both
    default: crm
    mapping:
      - {crm: domain, shop: website_domain, identifier: domain}
      - {crm: name, shop: firm_name, identifier: name, required: true}
  contacts:
    between: {crm: contacts, shop: customers}
    kind: contact
    direction: both
    default: crm
    require_identifier: true
    empty: keep
    deletes: keep
    max_deletes: 100
    filters:
      crm:
        - {field: country, op: eq, value: ES}
        - any: [{field: revenue, op: ge, value: 1000.50}, {field: tier, op: in, value: [gold, 1]}]
    mapping:
      - {crm: email, shop: email, identifier: email}
      - first_name: given_name
      - {crm: tier, shop: level, values: {gold: 1, silver: 2}}
      - {crm: notes, shop: remarks, direction: "to shop", enabled: false}
      - {shop: source, value: tandem}
      - {crm: company_id, shop: firm_id, association: companies}
"""

SECRET = "postgres://tandem:hunter22@db.example.com/crm"
ENVIRON = {
    "CRM_URL": SECRET,
    "SHOP_URL": "postgres://tandem:swordfish@db.example.com/shop",
    "PASSWORD": "correct-horse",
}


class PostgresSettings(BaseModel):
    url: SecretStr
    publication: str | None = None
    port: int | None = None
    schemas: list[str] = []

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value().startswith("mysql"):
            raise ValueError(f"{url.get_secret_value()} is no address of a PostgreSQL")
        return url


class TableSettings(BaseModel):
    table: str | None = None
    exclude: list[str] = []


class Nothing(BaseModel):
    pass


class Postgres:
    Settings: ClassVar[type[BaseModel]] = PostgresSettings
    ObjectSettings: ClassVar[type[BaseModel]] = TableSettings


class Memory:
    Settings: ClassVar[type[BaseModel]] = Nothing
    ObjectSettings: ClassVar[type[BaseModel]] = Nothing


CONNECTORS: dict[str, type[ConnectorModels]] = {"postgres": Postgres, "memory": Memory}
