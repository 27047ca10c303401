"""What a browser may be made to send: the gateway's part against DNS rebinding and requests across sites.

A web page cannot open a socket, but has its reader's browser do it, who may reach what the page's author cannot: a
gateway on loopback. Two headers that no page can forge tell: Host, the name that the browser believes it talks to, and
Origin, where the page came from.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from turnout.config import ServerConfig
from turnout.gateway.asgi import Scope, header
from turnout.gateway.errors import RequestError


class BrowserGuard:
    """Refuses what only a web page would send, by the request's headers alone."""

    def __init__(self, server: ServerConfig) -> None:
        self._is_loopback = server.is_loopback
        self._names = frozenset({"localhost", *server.allowed_hosts})
        self._checks_hosts = server.is_loopback or bool(server.allowed_hosts)

    def check_host(self, scope: Scope) -> None:
        """A RequestError (403) where the request is for a name that this gateway does not go by.

        A page of a name whose owner lets it point to 127.0.0.1 is of the gateway's own site to a browser, which then
        sends all it is told to and lets the page read the answer.
        """
        if not self._checks_hosts:
            return
        host = header(scope, b"host")
        name = host_name(host or b"")
        # Names can be made to point anywhere, addresses cannot: probes may ask by them beyond loopback.
        if self._is_known(name) or (not self._is_loopback and is_address(name)):
            return
        said = "a request that names no host" if host is None else f"the host '{name[:200]}'"
        raise RequestError(
            403,
            f"This gateway does not answer for {said}. Ask for localhost or 127.0.0.1, or have its operator add the "
            "name to allowed_hosts under [server].",
            type="permission_error",
            code="host_not_allowed",
        )

    def is_asked_on_this_machine(self, scope: Scope) -> bool:
        """Whether a request came from this machine, as far as where the gateway listens and what it is called tell."""
        name = host_name(header(scope, b"host") or b"")
        return self._is_loopback and (name == "localhost" or is_address(name, loopback=True))

    def check_page(self, scope: Scope) -> None:
        """A RequestError (403) where a page of another site has a browser send this; for where no key is asked for.

        Browsers ask before they send JSON across sites (and are told no), but not before they send text, and whether
        the page may read the answer matters little to whoever pays for it.
        """
        origin = header(scope, b"origin")
        if origin is None:
            if header(scope, b"sec-fetch-site") != b"cross-site":
                return
        else:
            place, name = site_of(origin.decode("latin-1"))
            own = (header(scope, b"host") or b"").decode("latin-1").lower()
            if self._is_known(name) or (place and place == own):
                return
        raise RequestError(
            403,
            "This gateway asks no one for a key, and takes no requests from web pages of other sites. Have its "
            "operator add the page's host to allowed_hosts under [server], or make keys.",
            type="permission_error",
            code="cross_origin",
        )

    def _is_known(self, name: str) -> bool:
        return name in self._names or is_address(name, loopback=True)


@lru_cache(maxsize=1_000)  # one client asks for one host, again and again
def host_name(host: bytes) -> str:
    """The name or address in a Host header, lower case, without port, brackets and the root's dot.

    >>> host_name(b"LocalHost.:8400"), host_name(b"[::1]:8400"), host_name(b"::1")
    ('localhost', '::1', '')
    """
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.partition(":")
    return "" if port and not port.isdecimal() else name.removesuffix(".")


@lru_cache(maxsize=1_000)
def is_address(name: str, *, loopback: bool = False) -> bool:
    """Whether this is an address instead of a name, and, if so asked, one that only this machine can reach.

    >>> is_address("10.0.0.7"), is_address("10.0.0.7", loopback=True), is_address("::1", loopback=True)
    (True, False, True)
    """
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not loopback


def site_of(origin: str) -> tuple[str, str]:
    """An origin's host with its port, and without; empty for `null` and whatever else has no host.

    >>> site_of("https://A.example:8400"), site_of("null")
    (('a.example:8400', 'a.example'), ('', ''))
    """
    try:
        parts = urlsplit(origin)
        return parts.netloc.lower(), parts.hostname or ""
    except ValueError:
        return "", ""
