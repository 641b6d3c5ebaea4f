"""A recipient as people see it: an address that is a key is shown without what makes it one.

Whoever knows the URL of an incoming webhook can post to it, and terminals are shared, scrolled and
photographed. `--json` is for programs, which need it whole.
"""

import re

STRUCK = "***"

_KEY = re.compile(r"[^/\s\"?#]{20,}")
"""Ids and words of a path are shorter, keys are longer."""
_QUERY = re.compile(r"[?#][^\s\"]*")
_LOGIN = re.compile(r"^[^/\s]*@")


def shown(recipient: str) -> str:
    """Strike out of each URL its login, its query, and what of its path may be a key."""
    first, *rest = recipient.split("://")
    return "://".join([first, *map(_without_keys, rest)])


def _without_keys(address: str) -> str:
    host, slash, path = _LOGIN.sub(f"{STRUCK}@", address).partition("/")
    path = _QUERY.sub(f"?{STRUCK}", path)
    return f"{_QUERY.sub(f'?{STRUCK}', host)}{slash}{_KEY.sub(STRUCK, path)}"
