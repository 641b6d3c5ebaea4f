"""The fault suite: break what can be broken while deliveries flow, then count them all.

    load ── insert ──▶ Postgres ◀── the installed daemon ──▶ ledger (a file outside the system)
      └─ ids it was told of ────────────▶ audit ◀────────────────┘

`python -m faults` runs every case and prints the table. Each round has a cluster, a receiver and
daemons of its own, and leaves nothing running.
"""
