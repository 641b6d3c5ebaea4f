"""The cases, in the order of the table."""

from collections.abc import Mapping

from faults.cases import (
    calm,
    clocks,
    disk,
    failpoints,
    kills,
    locks,
    network,
    notifications,
    poolers,
    providers,
    servers,
    sessions,
    soak,
    stalls,
    stops,
    versions,
)
from faults.round import Case

CASES: Mapping[str, Case] = {
    case.name: case
    for module in (
        calm,
        kills,
        stalls,
        stops,
        sessions,
        servers,
        network,
        poolers,
        notifications,
        disk,
        locks,
        providers,
        clocks,
        versions,
        soak,
        failpoints,
    )
    for case in module.CASES
}
