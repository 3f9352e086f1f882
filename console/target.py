"""What a command works on: the file, and the Kafka cluster of the installation.

Responsible for finding both, from the options, the file and what runs on the home. Must not know what is done with
them.

The broker is the one of `--broker`, else that of the `tandem up` that runs on the home, else the file's, else that of a
`tandem broker` on the home.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from dotenv import dotenv_values

from connectors.base import Connector, FatalError
from connectors.registry import find, known
from console.context import Settings
from console.errors import FailedError, WrongUseError
from console.home import Running
from rules.config import BrokerConfig, ConfigError, Installation, load
from rules.config.problems import Problem
from streams.broker import Broker


class Target:
    """The file and the cluster; each is looked for when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home

    # ------------------------------------------------------------ the file

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment, and below it the .env beside the file."""
        return environment_of(self.settings.file)

    @cached_property
    def text(self) -> str:
        """The file as it is written."""
        return read_file(self.settings.file)

    @cached_property
    def installation(self) -> Installation:
        """The file, read and checked. Raises `WrongUseError` with all that is wrong with it."""
        try:
            return load(self.text, str(self.settings.file), self.environ, installed_connectors())
        except ConfigError as error:
            raise refused(error.problems) from error

    # ------------------------------------------------------------ what runs

    @cached_property
    def running(self) -> Running | None:
        """The `tandem up` of this home."""
        return self.home.running()

    @property
    def name(self) -> str:
        """The installation's name: of what runs, else of the file."""
        return self.running.installation if self.running else self.installation.name

    def named_broker(self) -> BrokerConfig | None:
        """The cluster that `--broker` or the file names; None: an embedded broker is meant."""
        own = self.installation.broker
        if self.settings.broker is None:
            return own
        return _readdressed(self.settings.broker, own)

    def addressed(self, url: str) -> BrokerConfig:
        """A broker at this address, with the encryption and login that the file says."""
        return _readdressed(url, self.installation.broker)

    def broker(self) -> Broker:
        """The cluster to speak to now. Raises `FailedError` where none is named and nothing runs."""
        if self.settings.broker is None and self.running is not None and self.running.embedded:
            return cluster(BrokerConfig(url=self.running.broker))
        address = self.settings.broker or (self.running.broker if self.running else None)
        own = self.installation.broker if self.settings.file.exists() else None
        if address is None and own is None:
            alone = self.home.running("broker")
            address = alone.broker if alone else None
        if address is not None:
            return cluster(_readdressed(address, own))
        if own is not None:
            return cluster(own)
        raise FailedError(
            f"No broker runs on {self.home.path}, so there is nobody to tell.",
            "Start the engine with `tandem up`, or name a cluster with --broker.",
        )


def cluster(config: BrokerConfig) -> Broker:
    """How to reach the cluster. Raises `FailedError` where a certificate cannot be read."""
    try:
        return Broker.of(config)
    except OSError as error:
        raise FailedError(
            f"The certificates for {config.url} cannot be read: {error}.", "Look at broker.tls in the file."
        ) from error


def _readdressed(url: str, own: BrokerConfig | None) -> BrokerConfig:
    """Another address, with the encryption and login that the file says."""
    try:
        addressed = BrokerConfig(url=url if "://" in url else f"kafka://{url}")
    except ValueError as error:
        raise WrongUseError(f"{url} is not the address of a Kafka cluster.", "Write kafka://host:9092.") from error
    return addressed if own is None else addressed.model_copy(update={"tls": own.tls, "sasl": own.sasl})


def environment_of(file: Path) -> dict[str, str]:
    """The environment, and below it the .env beside the file. What it says is taken as it is written."""
    beside = dotenv_values(file.parent / ".env", interpolate=False)
    return {name: value for name, value in beside.items() if value is not None} | dict(os.environ)


def read_file(file: Path) -> str:
    """The file's text. Raises `WrongUseError` where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WrongUseError(
            f"There is no file {file}.", "Write one, or name it with --file. `tandem demo` shows one at work."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUseError(f"{file} cannot be read: {error}.") from error


def installed_connectors() -> dict[str, type[Connector]]:
    """All connectors that can be found. One that cannot be loaded is left out: then an account that names it is refused."""
    found = {}
    for name in known():
        try:
            found[name] = find(name)
        except FatalError:
            continue
    return found


def refused(problems: tuple[Problem, ...] | list[Problem]) -> WrongUseError:
    """All that is wrong with the file, a paragraph each: place, what, and what to write instead."""
    lines = []
    for problem in problems:
        place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        lines.append(f"{place}: {problem.message}")
        if problem.remedy:
            lines.append(f"    {problem.remedy}")
    count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return WrongUseError(f"The configuration has {count}; nothing was changed.", "\n".join(lines))
