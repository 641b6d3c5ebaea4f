"""A call of each function that a role may call, for those who try what it lets in."""

REPORT = (
    "'d', array[$id]::uuid[], '{1}', '{temporary}', '{0}', '{0}', "
    "'{why}', '{503}', '{no}', '{null}', '{1 s}'"
)
CALLS = (
    "select pg_catalog.count(*) from chimeway.stats()",
    "select pg_catalog.count(*) from chimeway.explain($id)",
    "select * from chimeway.hold($id, 'why', 'me')",
    "select * from chimeway.release($id, 'me')",
    "select * from chimeway.pause_channel('email', 'why', 'me')",
    "select * from chimeway.resume_channel('email', 'me')",
    "select pg_catalog.count(*) from chimeway.find_deliveries(null, 10)",
    "select chimeway.claim(7, 'd', '{email}', '{1}', 1, '1 h', true, true)",
    "select pg_catalog.count(*) from chimeway.next_due('{email}', true)",
    "select chimeway.register_daemon('d', '1', '{email}')",
    "select pg_catalog.count(*) from chimeway.heartbeat(7, 'd', '1', '{email}', '{}', '1 min')",
    "select pg_catalog.count(*) from chimeway.end_orphaned_leases(7, 'd', '1 min')",
    "select pg_catalog.count(*) from chimeway.find_unheard(7, '{}', '0 s')",
    "select pg_catalog.count(*) from chimeway.rescue(10)",
    "select pg_catalog.count(*) from chimeway.expire(pg_catalog.now(), 10)",
    "select chimeway.roll_up_tallies()",
    "select pg_catalog.count(*) from chimeway.unserved_channels()",
    "select chimeway.forget_daemons(7, '1 min')",
    "select * from chimeway.suppress($id, 'why', 'me')",
    "select * from chimeway.replay($id, 'me', true)",
    "select * from chimeway.cancel($id, 'why', 'me')",
    (
        "select pg_catalog.count(*) from chimeway.list_deliveries(null, 10, 'email', 'cancelled', "
        "'why', '-infinity', 'ada', null)"
    ),
    "select pg_catalog.count(*) from chimeway.recent_attempts('-infinity', 10, 'email', true)",
    "select pg_catalog.count(*) from chimeway.group_failures('-infinity', 10, 'email')",
    "select pg_catalog.count(*) from chimeway.find_stranded(10)",
    "select chimeway.repair_stranded($id)",
    "select pg_catalog.count(*) from chimeway.rights()",
    "select chimeway.clock()",
    "select pg_catalog.count(*) from chimeway.record($report)",
    "select pg_catalog.count(*) from chimeway.record_unlocked($report)",
    "select pg_catalog.count(*) from chimeway.release_unsent('d', '{}', '{}', 'w')",
    (
        "select chimeway.configure_channel('email', 'sink', 5, '1 s', 2, '1 h', 0.2, '{1 s}', "
        "'1 h', '1 d', 'retry', 'sms', 10, '1 s', 10)"
    ),
    "select chimeway.configure_retention('email', '1 d', '2 d')",
    "select pg_catalog.count(*) from chimeway.prune(7, null, 10)",
    (
        "select pg_catalog.count(*) from chimeway.open_breaker('email', 'why', 'd', '1 s', '1 h', "
        "'{1}')"
    ),
    "select pg_catalog.count(*) from chimeway.open_breakers('{email}')",
    "select pg_catalog.count(*) from chimeway.serving_daemons('{email}')",
)
"""Every function that a role may call; a test says which is missing."""
