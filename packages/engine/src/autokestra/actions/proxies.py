"""Which proxy a request goes through, from the variables that every command-line tool knows. Pure.

The variables are those of the task (`passEnv`, `env`), never those of the engine.
"""

import ipaddress
import re
from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a request, None for a direct connection.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower case first, as curl reads them; an entry of
    `NO_PROXY` is `*`, a domain (with all below it), an address, a network (`10.0.0.0/8`), each also with `:port`.
    """
    if _is_exempt(host.lower().rstrip("."), port, _variable("no_proxy", environ)):
        return None
    proxy = _variable(f"{scheme}_proxy", environ) or _variable("all_proxy", environ)
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name, environ.get(name.upper(), "")).strip()


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    address = _address(host)
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        name, entry_port = _split_port(entry)
        if not name or entry_port not in (None, port):
            continue
        if name == "*":
            return True
        if address is not None:
            network = _network(name)
            if network is not None and address in network:
                return True
            continue
        domain = name.removeprefix("*").strip(".")
        if host == domain or host.endswith(f".{domain}"):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"\[(.+)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})", entry)
    if match is None:
        return entry, None
    port = match[2] or match[4]
    return match[1] or match[3], None if port is None else int(port)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
