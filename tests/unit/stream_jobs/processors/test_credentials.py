"""Faust gets the same proof of who it is as the other clients."""

import ssl
from pathlib import Path

import faust
import pytest
import trustme
from faust.types.auth import AuthProtocol, SASLMechanism
from pydantic import SecretStr

from stream_jobs.processors.app import credentials_of
from stream_jobs.settings import StitcherSettings


def test_plaintext_needs_none() -> None:
    assert credentials_of(StitcherSettings()) is None


@pytest.mark.parametrize(("protocol", "expected"), [("sasl_ssl", "SASL_SSL"), ("sasl_plaintext", "SASL_PLAINTEXT")])
def test_sasl(protocol: str, expected: str) -> None:
    settings = StitcherSettings(
        kafka_protocol=protocol,
        kafka_username="somebody",
        kafka_password=SecretStr("s3cret"),
        kafka_mechanism="SCRAM-SHA-256",
    )
    found = credentials_of(settings)
    assert isinstance(found, faust.SASLCredentials)
    assert found.protocol is AuthProtocol(expected)
    assert (found.username, found.password) == ("somebody", "s3cret")
    assert found.mechanism is SASLMechanism.SCRAM_SHA_256


def test_tls_checks_certificates_against_the_given_authority(tmp_path: Path) -> None:
    authority = trustme.CA(organization_name="tests")
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    found = credentials_of(StitcherSettings(kafka_protocol="ssl", kafka_ca_file=file))
    assert isinstance(found, faust.SSLCredentials)
    assert found.context.verify_mode is ssl.CERT_REQUIRED
    assert found.context.check_hostname
    assert [dict(part[0] for part in one["subject"])["organizationName"] for one in found.context.get_ca_certs()] == [
        "tests"
    ]
