"""How to reach Kafka: servers, encryption, login.

Responsible for saying it in the words of aiokafka and of Faust. Must not know topics or what runs there.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rules.config import BrokerConfig


class Broker(msgspec.Struct, frozen=True):
    """A Kafka cluster. `context`: for TLS. `login`: SASL mechanism, user, password."""

    servers: tuple[str, ...]
    context: ssl.SSLContext | None = None
    login: tuple[str, str, str] | None = None

    @classmethod
    def of(cls, config: BrokerConfig) -> Broker:
        """The cluster that sync.yaml names."""
        context = None
        if config.tls is not None:
            context = ssl.create_default_context(cafile=config.tls.ca)
            if config.tls.certificate is not None:
                context.load_cert_chain(config.tls.certificate, config.tls.key)
        sasl = config.sasl
        login = (sasl.mechanism, sasl.username, sasl.password.get_secret_value()) if sasl is not None else None
        return cls(config.servers, context, login)

    @property
    def url(self) -> str:
        """As Faust has it: `kafka://host:port;host:port`."""
        return "kafka://" + ";".join(self.servers)

    def client(self) -> dict[str, Any]:
        """The arguments of aiokafka's clients, producers and consumers."""
        arguments: dict[str, Any] = {"bootstrap_servers": list(self.servers)}
        protocol = "SSL" if self.context else "PLAINTEXT"
        if self.login is not None:
            mechanism, user, password = self.login
            arguments |= {
                "sasl_mechanism": mechanism,
                "sasl_plain_username": user,
                "sasl_plain_password": password,
            }
            protocol = "SASL_" + protocol
        return arguments | {"security_protocol": protocol, "ssl_context": self.context}

    def credentials(self) -> Any:
        """What Faust wants as `broker_credentials`; None: neither encryption nor login."""
        from faust.auth import SASLCredentials, SSLCredentials

        if self.login is not None:
            mechanism, user, password = self.login
            return SASLCredentials(mechanism=mechanism, username=user, password=password, ssl_context=self.context)
        return SSLCredentials(context=self.context) if self.context else None
