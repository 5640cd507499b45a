"""Listeners with TLS and logins for a test cluster: who may come in, by which door, with which files.

Give a `Secured` to `Cluster.start`; afterwards `cluster.doors` has the doors' addresses and the files. Every listener
besides these belongs to the cluster itself: it is open on the loopback, and whoever uses it may do everything.
"""

import datetime as dt
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.servers_found import free_ports

# Each door's name is its protocol, as Kafka calls it.
DOORS: Final = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PREFIX: Final = "org.apache.kafka.common.security"
# A test's certificates are read seconds after they are made; a day outlasts any run and a clock that is off by minutes.
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True)
class Secured:
    """What is asked for.

    Attributes:
        users: name to password, for PLAIN and both SCRAM mechanisms alike. No quotes in them.
        acls: refuse what no ACL allows (`StandardAuthorizer`), but to `super_user`. The principal is `User:name`, or
            for a client with a certificate `User:CN=client`.
        client_certificates: whether the door `SSL` asks for one. With `acls` it does: who has none there would be
            nobody, and the cluster's own listeners have to let nobody do everything.

    """

    users: Mapping[str, str] = field(default_factory=lambda: {"admin": "admin-secret", "app": "app-secret"})
    acls: bool = False
    super_user: str = "admin"
    client_certificates: bool = False


class Doors:
    """What came of it.

    Attributes:
        users: as asked for.
        ca: PEM file of the authority that signed the brokers' certificate.
        other_ca: PEM file of an authority that signed nothing here: a client that trusts only it must refuse.
        certificate, key: PEM files of a client, signed by `ca`.

    """

    def __init__(self, asked: Secured, folder: Path, brokers: int) -> None:
        self.users = asked.users
        self._asked = asked
        ports = free_ports(brokers * len(DOORS))
        self._ports = {door: ports[at :: len(DOORS)] for at, door in enumerate(DOORS)}
        folder.mkdir(parents=True, exist_ok=True)
        authority = _Authority(folder / "ca.pem")
        self.ca = authority.path
        self.other_ca = _Authority(folder / "other-ca.pem").path
        self._broker = folder / "broker.pem"
        self.certificate, self.key = folder / "client.pem", folder / "client-key.pem"
        certificate, key = authority.sign("127.0.0.1")
        self._broker.write_bytes(key + certificate)
        for path, content in zip((self.certificate, self.key), authority.sign("client"), strict=True):
            path.write_bytes(content)

    def url(self, door: str) -> str:
        """`kafka://host:port,…` of one of `DOORS`."""
        return f"kafka://{','.join(f'127.0.0.1:{port}' for port in self._ports[door])}"

    def ports(self, index: int) -> dict[str, int]:
        """The doors of one broker."""
        return {door: ports[index] for door, ports in self._ports.items()}

    def properties(self) -> dict[str, str]:
        """For the file of every broker."""
        found = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "listener.name.ssl.ssl.client.auth": "required"
            if self._asked.client_certificates or self._asked.acls
            else "none",
            "sasl.enabled.mechanisms": ",".join(_MECHANISMS),
        }
        known = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        for door in ("sasl_ssl", "sasl_plaintext"):
            for mechanism in _MECHANISMS:
                module = f"{_PREFIX}.scram.ScramLoginModule required"
                if mechanism == "PLAIN":
                    module = f"{_PREFIX}.plain.PlainLoginModule required {known}"
                found[f"listener.name.{door}.{mechanism.lower()}.sasl.jaas.config"] = f"{module};"
        if self._asked.acls:
            found["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            found["super.users"] = (
                f"User:{self._asked.super_user};User:ANONYMOUS"  # the cluster's own listeners have no login
            )
        return found

    def scram(self) -> list[str]:
        """Arguments for the formatting of the data, where the first SCRAM users come from."""
        return [
            argument
            for mechanism in _MECHANISMS
            if mechanism != "PLAIN"
            for name, password in self.users.items()
            for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]


class _Authority:
    """A certificate authority of this run alone; its key is never written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(path.stem)
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        # Python's strict verification (3.13 on) wants the use of the key and whose key it is.
        builder = builder.add_extension(_key_usage(signs_others=True), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
        )
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str) -> tuple[bytes, bytes]:
        """A new certificate for the loopback and its key, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = self._builder(_named(name), key.public_key())
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_others=False), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return certificate, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        return (
            builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
