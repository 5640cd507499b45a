"""How the brokers are reached: addresses, TLS, login. One place, for producers, readers, admin calls and the group's
consumer.
"""

import logging
import os
import re
import ssl
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from streams.settings import Kafka, SettingsError

_PORT: Final = 9092
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@]+)(?::(?P<port>\d{1,5}))?\Z")
_LOOPBACK: Final = {"localhost", "127.0.0.1", "[::1]"}
_CLIENT: Final = "zoho-gocardless"
_FORM: Final = "use kafka://host:port,host:port; how to log in is said in [kafka]"
#: Addresses to start from. Lower: a large cluster's list is refused. Higher: a start tries dead ones one after the
#: other.
_MOST_SERVERS: Final = 32

# At DEBUG this logger writes out every request, the one with the password among them.
logging.getLogger("aiokafka.conn").setLevel(logging.INFO)


class Access:
    """A cluster's addresses and our credentials for it. Never printed whole."""

    def __init__(self, servers: tuple[str, ...], kafka: Kafka) -> None:
        self.servers = servers
        self.kafka = kafka

    @classmethod
    def from_url(cls, url: str, kafka: Kafka) -> Self:
        """The brokers named in `kafka://host:port,host:port`; 9092 where no port is said.

        Raises:
            ValueError: not such a URL, or one that holds a user or a password. Nothing of it is repeated.

        """
        scheme, found, rest = url.partition("://")
        if scheme == "kafka" and "@" in rest:
            raise ValueError(
                "log URL: a user or password has no place in it; set sasl, username and password in [kafka]"
            )
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(f"log URL: {_FORM}") from None
        if scheme != "kafka" or not found or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"log URL: {_FORM}")
        servers = tuple(_server(one) for one in parts.netloc.split(","))
        if len(servers) > _MOST_SERVERS:
            raise ValueError(f"log URL: {len(servers)} addresses; up to {_MOST_SERVERS} are enough to find all brokers")
        return cls(servers, kafka)

    @property
    def where(self) -> str:
        """For messages: the addresses."""
        return f"kafka://{','.join(self.servers)}"

    def arguments(self) -> dict[str, Any]:
        """What every aiokafka client is given. Reads files and the environment.

        Raises:
            SettingsError: a file or variable that the settings name is not there, or the settings contradict each
            other.

        """
        kafka = self.kafka
        tls = kafka.security == "tls"
        found: dict[str, Any] = {"bootstrap_servers": list(self.servers), "client_id": _CLIENT}
        found["security_protocol"] = ("SASL_" if kafka.sasl else "") + ("SSL" if tls else "PLAINTEXT")
        if tls:
            found["ssl_context"] = self._context()
        elif kafka.ca or kafka.certificate or kafka.key:
            raise SettingsError('kafka.security: ca, certificate and key are for TLS; set security = "tls"')
        if kafka.sasl:
            if kafka.sasl == "PLAIN" and not tls and not self._is_local():
                raise SettingsError('kafka.sasl: PLAIN sends the password as it is; set security = "tls"')
            login = {"mechanism": kafka.sasl, "plain_username": kafka.username, "plain_password": self._password()}
            found |= {f"sasl_{name}": value for name, value in login.items()}
        elif kafka.username or kafka.password:
            raise SettingsError(
                'kafka.sasl: is not set, but username or password is; set sasl = "SCRAM-SHA-512", or as the brokers '
                "have it"
            )
        return found

    def _is_local(self) -> bool:
        return all(server.rpartition(":")[0] in _LOOPBACK for server in self.servers)

    def _context(self) -> ssl.SSLContext:
        kafka = self.kafka
        if kafka.key and not kafka.certificate:
            raise SettingsError("kafka.certificate: is missing beside key; name its PEM file")
        at = "ca"
        try:
            context = ssl.create_default_context(cafile=kafka.ca or None)
            if kafka.certificate:
                at = "certificate"
                # Without a password given, OpenSSL would ask for one at the terminal; none of ours is encrypted.
                context.load_cert_chain(kafka.certificate, kafka.key or None, password="")
        except (OSError, ssl.SSLError) as error:
            reason = (
                error.strerror
                if not isinstance(error, ssl.SSLError)
                else "no PEM of that kind, or key and certificate do not match"
            )
            raise SettingsError(
                f"kafka.{at}: cannot be used ({reason}); name a PEM file that this user may read"
            ) from None
        return context

    def _password(self) -> str:
        if not self.kafka.username:
            raise SettingsError("kafka.username: is missing; say who logs in")
        kind, _, name = self.kafka.password.partition(":")
        if kind == "env" and name:
            found = os.environ.get(name, "")
        elif kind == "file" and name:
            try:
                found = Path(name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise SettingsError(
                    f"kafka.password: {name} cannot be read; name a file that this user may read"
                ) from None
        else:
            # What stands there may be the password itself.
            raise SettingsError('kafka.password: is not said where it is; use "env:NAME" or "file:/path"')
        if not found:
            raise SettingsError(f"kafka.password: {name} is empty; put the password there")
        return found


def _server(address: str) -> str:
    found = _ADDRESS.match(address)
    port = int(found["port"] or _PORT) if found else 0
    if found is None or not 0 < port <= 65_535:
        raise ValueError(f"log URL: {_FORM}")
    return f"{found['host']}:{port}"
