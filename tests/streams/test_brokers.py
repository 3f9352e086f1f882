"""Clusters that ask for more: encryption and a login; a broker that is gone for a while; epochs that are renewed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka import EmbeddedKafka, _is_listening
from rules.config import BrokerConfig
from streams.broker import Broker
from tests.streams.pipeline import Pipeline

Pipelines = Callable[..., Pipeline]


def of(**said: Any) -> Broker:
    """The cluster that sync.yaml names."""
    return Broker.of(BrokerConfig.model_validate({"url": "kafka://one,two:9093", **said}))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize(("tls", "protocol"), [(None, "SASL_PLAINTEXT"), (True, "SASL_SSL")])
def test_a_login_is_said_in_the_words_of_aiokafka_and_of_faust(mechanism: str, tls: bool | None, protocol: str) -> None:
    broker = of(tls=tls, sasl={"mechanism": mechanism, "username": "u", "password": "p"})
    said = broker.client()
    assert (said["security_protocol"], said["sasl_mechanism"]) == (protocol, mechanism)
    assert (said["sasl_plain_username"], said["sasl_plain_password"]) == ("u", "p")
    faust = broker.credentials()
    assert (faust.protocol.value, faust.mechanism.value) == (protocol, mechanism)
    assert (faust.username, faust.password, faust.ssl_context) == ("u", "p", said["ssl_context"])


def test_without_login_a_cluster_is_plain_or_encrypted() -> None:
    assert of().client()["security_protocol"] == "PLAINTEXT"
    assert of().credentials() is None
    assert of(tls=True).client()["security_protocol"] == "SSL"
    assert of(tls=True).credentials().protocol.value == "SSL"
    assert of().servers == ("one:9092", "two:9093")
    assert of().url == "kafka://one:9092;two:9093"


class SecuredKafka(EmbeddedKafka):
    """A broker that asks for TLS and a login, which the embedded one's own probe does not have."""

    async def _answers(self) -> bool:
        return await _is_listening(self._port("broker"))


def secured(folder: Path) -> dict[str, str]:
    """Settings for TLS with a certificate of our own, and one user."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=127.0.0.1"
        " -addext subjectAltName=IP:127.0.0.1".split(),
        check=True,
        capture_output=True,
    )
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    of_the_listener = {
        "plain.sasl.jaas.config": f'{login} username="b" password="b" user_b="b" user_tandem="s3cret";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": certificate.read_text().replace("\n", "\\n"),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": certificate.read_text().replace("\n", "\\n"),
        "ssl.keystore.key": key.read_text().replace("\n", "\\n"),
    }
    return {
        "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
    } | {f"listener.name.broker.{name}": value for name, value in of_the_listener.items()}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
async def test_a_worker_works_on_a_cluster_with_tls_and_a_login(tmp_path: Path) -> None:
    async with SecuredKafka(tmp_path, settings=secured(tmp_path)) as kafka:
        said = {
            "url": kafka.url,
            "tls": {"ca": str(tmp_path / "ca.pem")},
            "sasl": {"mechanism": "PLAIN", "username": "tandem", "password": "s3cret"},
        }
        async with Pipeline(said, "secured", tmp_path / "work") as running:
            running.start("x")
            await running.edit("a", "1")
            await running.settled()
            assert (await running.verdict()).clean
            assert "s3cret" not in running.log("x")


async def test_a_worker_goes_on_when_its_broker_comes_back(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    await kafka.start()
    try:
        async with Pipeline(kafka.bootstrap, "back", tmp_path / "work") as running:
            running.start("x")
            await running.edit("a", "1")
            await running.settled()
            before = kafka.bootstrap
            await kafka.stop()
            await kafka.start()
            assert kafka.bootstrap == before
            await running.edit("a", "1")
            await running.settled()
            assert (await running.verdict()).clean
    finally:
        await kafka.stop()


async def test_new_epochs_are_taken_between_units_and_nothing_is_refused(pipeline: Pipelines) -> None:
    async with pipeline() as running:
        running.start("x", RENEW="0.3")
        for serial in range(100):
            await running.edit("a", f"{serial % 3}")
            await running.edit_exactly("b", f"{serial % 3}")
            await asyncio.sleep(0.02)
        await running.settled()
        assert (await running.verdict()).clean
        assert running.workers["x"].poll() is None
        epochs = {int(value) for (_, key), value in (await running.markers()).items()}
        assert min(epochs) >= 1  # the first is 0
