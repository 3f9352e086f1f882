"""The configuration: sync.yaml as models, and everything that is asked of the file.

Responsible for what may be written, and for saying what is wrong with what is. Must not read files or the
environment itself.
"""

from rules.config.catalogs import check_catalogs
from rules.config.diff import DocumentChange, diff
from rules.config.loader import ConnectorModels, Connectors, load, load_document
from rules.config.models import (
    AccountConfig,
    BrokerConfig,
    Installation,
    MappingConfig,
    Policy,
    RecordKind,
    SyncConfig,
)
from rules.config.problems import ConfigError, Problem
from rules.config.reference import reference_markdown
from rules.config.schema import json_schema

__all__ = [
    "AccountConfig",
    "BrokerConfig",
    "ConfigError",
    "ConnectorModels",
    "Connectors",
    "DocumentChange",
    "Installation",
    "MappingConfig",
    "Policy",
    "Problem",
    "RecordKind",
    "SyncConfig",
    "check_catalogs",
    "diff",
    "json_schema",
    "load",
    "load_document",
    "reference_markdown",
]
