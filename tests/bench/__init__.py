"""Measures chimewayd against its peers and against Postgres itself: `make bench`.

    cluster ─▶ one Postgres of our own, a database for each engine
    peers   ─▶ their workers, each in an environment of its own under .bench/
    rows    ─▶ one module a row of the table; all take a Bench and return Figures
    report  ─▶ tests/bench/results/latest.{json,md,svg}

Imports nothing here: the peers' workers are started from this package by other interpreters.
"""
