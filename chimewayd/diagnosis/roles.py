"""Decides what is wrong with roles and their rights, and what to do about it."""

from collections.abc import Sequence

from chimewayd.db_facts import Rights
from chimewayd.diagnosis.finding import Finding, fault, ok, some, unknown, warning
from chimewayd.rights import OWNER_ROLE

DAEMON_ROLE = "chimeway_daemon"


def rights(facts: Rights) -> Finding:
    """Judge what our role may do, as a daemon's."""
    if not facts.may_use:
        return fault(
            "rights",
            f"role {facts.role} may not use the schema chimeway",
            f"as its owner: grant chimeway_daemon to {facts.role}, or another role of chimeway's",
        )
    if not facts.missing:
        return ok("rights", f"role {facts.role} may do what a daemon does")
    if facts.roles and DAEMON_ROLE not in facts.roles:
        return unknown(
            "rights",
            f"role {facts.role} runs no daemon: it is {some(facts.roles)}",
            "run doctor as the daemon's login too, for what that one may do",
        )
    remedy = (
        "chimewayd migrate, as the owner of the schema, grants them"
        if facts.roles
        else f"as the owner of the schema: grant {DAEMON_ROLE} to {facts.role}"
    )
    return fault("rights", f"role {facts.role} may not execute {some(facts.missing)}", remedy)


def ledger(facts: Rights) -> Finding:
    """Say that our role may do everything else, and not see which schema this is."""
    return fault(
        "rights",
        f"role {facts.role} may not read chimeway.schema_migrations",
        f"as the owner of the schema: grant {DAEMON_ROLE} to {facts.role}",
    )


def owner(name: str | None) -> Finding:
    """Judge as whom the functions run."""
    if name in {None, OWNER_ROLE}:
        return ok("roles", f"{OWNER_ROLE} owns the schema")
    return warning(
        "roles",
        f"{name} owns the schema, not {OWNER_ROLE}: its functions may do whatever {name} may",
        f"grant {OWNER_ROLE} to {name}, then chimewayd migrate as {name}: that hands it over",
    )


def roles(missing: Sequence[str]) -> Finding:
    """Judge whether there is somebody to grant rights to."""
    if missing:
        return warning(
            "roles",
            f"there is no role {some(missing)}",
            "as one who may create roles: create role … nologin, for each; then chimewayd migrate",
        )
    return ok("roles", "all are there")


def grants(differences: Sequence[str]) -> Finding:
    """Judge whether our roles, and everybody, have the rights that they should have."""
    if differences:
        return warning(
            "roles",
            f"{len(differences)} rights are not as they should be: {some(differences)}",
            "chimewayd migrate grants what is missing and revokes the rest",
        )
    return ok("roles", "each has its rights, and PUBLIC has none")
