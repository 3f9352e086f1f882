"""PostgreSQL 14 to 18 as an account: logical replication in, batched compare-and-set out. See `connector`."""

from connectors.postgres.connector import PostgresConnector
from connectors.postgres.settings import PostgresObjectSettings, PostgresSettings

__all__ = ["PostgresConnector", "PostgresObjectSettings", "PostgresSettings"]
