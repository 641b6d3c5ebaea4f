"""Who steps in, and why: the options of every operator's command."""

import getpass
from collections.abc import Callable
from typing import Any, TypeAlias

import click

from chimewayd.cli.selection import text

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def _why(context: click.Context, parameter: click.Parameter, given: str) -> str:
    if not given.strip():
        raise click.BadParameter("must say why")
    return text(context, parameter, given) or ""


def _who(context: click.Context, parameter: click.Parameter, given: str | None) -> str:
    if given is not None and not given.strip():
        raise click.BadParameter("must say who asks for it")
    try:
        return text(context, parameter, given) or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        raise click.UsageError("this account has no name: say who you are with --actor") from None


reason_option: Decorator = click.option(
    "--reason",
    metavar="WHY",
    required=True,
    callback=_why,
    help="Why you do it; it is kept in the history.",
)
actor_option: Decorator = click.option(
    "--actor", metavar="WHO", callback=_who, help="Who does it; else your account's name."
)
