"""Several processes write to one pipe: their lines stay whole."""

import json
import os
import subprocess
import sys

from chimewayd.log_output import LONGEST_PIECE_BYTES, pieces

BATCHES, LINES = 40, 500
WRITER = f"""
import sys
from chimewayd import log, log_context
from chimewayd.log import Event

log_context.instance = sys.argv[1]
log.setup("info", "json")
fields = [{{"attempt": n, "detail": "x" * 150}} for n in range({LINES})]
for _ in range({BATCHES}):
    log.emit_many("info", Event.ATTEMPT_RECORDED, fields)
"""


def test_lines_of_several_processes_never_stand_in_each_other() -> None:
    reader, writer = os.pipe()
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], stdout=writer)
        for name in ("twin-1", "twin-2")
    ]
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        lines = said.read().splitlines()

    assert [process.wait() for process in processes] == [0, 0]
    written = [(line["instance"], line["attempt"]) for line in map(json.loads, lines)]
    for name in ("twin-1", "twin-2"):
        assert [n for who, n in written if who == name] == [*range(LINES)] * BATCHES


def test_pieces_end_where_lines_do_and_are_as_long_as_may_be() -> None:
    lines = b"".join(b"%b\n" % (b"x" * length) for length in (10, 3000, 1000, 5000, 0, 4094, 1))

    cut = list(pieces(lines))

    assert b"".join(cut) == lines
    assert [len(piece) for piece in cut] == [4013, 5001, 1, 4095, 2]
    assert LONGEST_PIECE_BYTES == 4095
