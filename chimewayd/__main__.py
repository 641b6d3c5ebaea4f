"""`python -m chimewayd` is `chimewayd`."""

from chimewayd.cli import main

main()
