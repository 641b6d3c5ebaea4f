"""Runs `chimewayd doctor` and reads what it found."""

import json

from commands import Ended, chimewayd

CHANNELS = json.dumps({"email": {"adapter": "sink"}})


async def doctor(dsn: str, *arguments: str, **settings: str) -> Ended:
    given = {"dsn": dsn, "channels": CHANNELS} | settings
    environment = {f"CHIMEWAYD_{name.upper()}": value for name, value in given.items()}
    return await chimewayd("doctor", "--json", *arguments, environment=environment)


def found(ended: Ended, level: str) -> list[tuple[str, str, str]]:
    """Return check, what and remedy of the findings of a level."""
    return [
        (each["check"], each["what"], each["remedy"])
        for each in ended.document["findings"]
        if each["level"] == level
    ]
