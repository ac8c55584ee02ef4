"""Is there a network? Asked once, answered within a second, so that being offline is said at once."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from urllib.parse import urlparse

TIMEOUT = 0.8


def online(url: str = "") -> bool:
    """Whether the host of ``url`` (default: the Hugging Face endpoint) can be reached; one quick try a host and process.

    After a failed try ``HF_HUB_OFFLINE`` is set, since hub clients would otherwise retry for some twenty seconds.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    host = urlparse(url or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname or ""
    return _reachable(host)


@lru_cache
def _reachable(host: str) -> bool:
    old = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(TIMEOUT)
        with socket.create_connection((host, 443), timeout=TIMEOUT):
            return True
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            import huggingface_hub.constants as constants

            constants.HF_HUB_OFFLINE = True
        except ImportError:
            pass
        return False
    finally:
        socket.setdefaulttimeout(old)
