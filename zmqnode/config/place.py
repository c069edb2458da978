"""Where a node is: ``tcp://HOST:PORT``, with its key in front of the host where it is known.

``https://HOST:PORT`` is read as the same place (Mitum's texts have it); a trailing slash and a
fragment such as ``#tls_insecure`` are dropped there. ``tcp://PUBLICKEY@HOST:PORT`` names a node
and its key in one text.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from zmqnode.base.keys import PublicKey, parse_public, public_text
from zmqnode.config.secret import redact
from zmqnode.errors import Invalid

PORT_MAX: Final = 65535
HOST_CHARS_MAX: Final = 253

_FORM: Final = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?:(?P<key>[^@/]*)@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#@\[\]]*)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?"
)
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_HINT: Final = "a url is tcp://HOST:PORT, or tcp://PUBLICKEY@HOST:PORT where the key is needed too"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A host (a name or a literal address, IPv6 without brackets), a port, perhaps a key."""

    host: str
    port: int  # 1 to 65535
    publickey: PublicKey | None = None

    @property
    def url(self) -> str:
        """The canonical url, without the key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def text(self) -> str:
        """The url with the key in it, if there is one."""
        if self.publickey is None:
            return self.url
        return self.url.replace("tcp://", f"tcp://{public_text(self.publickey)}@", 1)

    @property
    def http(self) -> str:
        """The same place as what a browser or Prometheus is given."""
        return self.url.replace("tcp://", "http://", 1)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it; a name other than ``localhost`` may be anything."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def shifted(self, ports: int) -> Place:
        """The same host, some ports further; the caller checked that the port exists."""
        return replace(self, port=self.port + ports, publickey=None)


def parse_place(text: str) -> Place:
    """The place a url names.

    Raises:
        Invalid: ``config_invalid`` for no url, ``key_invalid`` for a bad key in it; a private key
        is not echoed.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise _invalid(text, "is no url")
    key = found["key"]
    publickey = None if key is None else parse_public(key)
    if found["scheme"].lower() not in ("tcp", "https"):
        raise _invalid(text, f"has the scheme {found['scheme']}, not tcp (or https)")
    port = _port(text, found, "has a path; a node has none")
    return Place(host=_host(text, found["host"]), port=port, publickey=publickey)


def parse_http(text: str) -> Place:
    """The place of an HTTP port: ``http://HOST:PORT``, or a port alone, on the loopback.

    Raises:
        Invalid: ``config_invalid``.
    """
    plain = text.strip()
    if plain.isascii() and plain.isdigit() and len(plain) <= 5 and 1 <= int(plain) <= PORT_MAX:
        return Place(host=LOOPBACK, port=int(plain))
    found = _FORM.fullmatch(plain)
    if found is None:
        raise _invalid(text, f"is neither http://HOST:PORT nor a port from 1 to {PORT_MAX}")
    if found["scheme"].lower() != "http":
        raise _invalid(text, f"has the scheme {found['scheme']}, not http")
    if found["key"] is not None:
        raise _invalid(text, "has a name or key before its host; none is asked for there")
    port = _port(text, found, "has a path; /metrics and /healthz are there by themselves")
    return Place(host=_host(text, found["host"]), port=port)


def _port(text: str, found: re.Match[str], path: str) -> int:
    """The port of a url; ``path`` is what is said to one that goes on after it."""
    if found["port"] is None or not 1 <= int(found["port"]) <= PORT_MAX:
        raise _invalid(text, f"needs a port from 1 to {PORT_MAX}")
    if (found["rest"] or "").split("#", 1)[0] not in ("", "/"):
        raise _invalid(text, path)
    return int(found["port"])


def is_url(text: str) -> bool:
    """Whether a text is meant as a url, right or wrong."""
    return "://" in text


def _host(text: str, host: str) -> str:
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1]).compressed
        except ValueError:
            raise _invalid(text, "has no IPv6 address between its brackets") from None
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _invalid(text, f"has a host that is no IPv4 address: {host}") from None
    plain = len(host) <= HOST_CHARS_MAX and _NAME.fullmatch(host) is not None
    if not plain or redact(host) != host:
        raise _invalid(text, f"has a host that cannot be: {host!r}" if host else "has no host")
    return host.lower()


def _invalid(text: str, reason: str) -> Invalid:
    shown = repr(redact(text)[:200])
    return Invalid("config_invalid", f"{shown} {redact(reason)}", hint=_HINT)
