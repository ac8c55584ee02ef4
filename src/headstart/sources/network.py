"""Is there a network? Answered within a second, so that being offline is said at once."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from urllib.parse import urlparse
from urllib.request import getproxies

TIMEOUT = 0.8
REMEMBERED = 30.0
VARIABLE = "HF_HUB_OFFLINE"
HUB = "https://huggingface.co"

_answers: dict[tuple[str, int], tuple[float, bool]] = {}
_set_here: set[str] = set()  # environment variables that were set in this module, not by the user


def online(url: str = "") -> bool:
    """Whether the host of ``url`` (default: the Hugging Face endpoint) can be reached; never takes more than a second.

    One quick connection, through the proxy where one is set; the answer is remembered for half a minute. ``HF_HUB_OFFLINE=1``
    means no network at all. After a failed try of the hub, that variable is set, since hub clients would otherwise
    retry for some twenty seconds.
    """
    if wanted_offline():
        return False
    hub = os.environ.get("HF_ENDPOINT") or HUB
    target = urlparse(url or hub)
    proxy = getproxies().get(target.scheme)
    place = urlparse(proxy if "://" in proxy else f"http://{proxy}") if proxy else target
    key = (place.hostname or "", place.port or (443 if place.scheme == "https" else 80))
    known = _answers.get(key)
    if known is None or time.monotonic() - known[0] > REMEMBERED:
        known = _answers[key] = (time.monotonic(), _reachable(*key))
    if target.hostname == urlparse(hub).hostname:
        _tell_hub_clients(known[1])
    return known[1]


def wanted_offline() -> bool:
    """Whether the user has set ``HF_HUB_OFFLINE``."""
    value = os.environ.get(VARIABLE, "").upper()
    return value in ("1", "TRUE", "YES", "ON") and VARIABLE not in _set_here


def why_offline() -> str:
    """Words for messages: what keeps this machine from the network."""
    return "HF_HUB_OFFLINE is set" if wanted_offline() else "there is no network"


def _tell_hub_clients(reachable: bool) -> None:
    if not reachable:
        os.environ[VARIABLE] = "1"
        _set_here.add(VARIABLE)
    elif VARIABLE in _set_here:
        del os.environ[VARIABLE]
        _set_here.discard(VARIABLE)
    else:
        return
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = not reachable  # type: ignore[attr-defined]


def _reachable(host: str, port: int) -> bool:
    """A connection in a thread of its own: looking up a host name takes no timeout."""
    found: list[bool] = []

    def attempt() -> None:
        try:
            with socket.create_connection((host, port), timeout=TIMEOUT):
                found.append(True)
        except OSError:
            found.append(False)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return bool(found and found[0])
