"""Two daemons of neighbouring releases on one database."""

from faults.round import Case, Round


async def neighbours(round_: Round) -> None:
    """Needs a second release to install beside this one."""
    raise NotImplementedError(round_.directory)


CASES = (
    Case(
        "versions",
        "two daemons of neighbouring schema versions",
        neighbours,
        missing=lambda: "there is one release only; add the case with the second",
    ),
)
