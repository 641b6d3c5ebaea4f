"""`python -m chimewayd` is `chimewayd`."""

from chimewayd.cli import main

# Worker processes import the main module of their parent.
if __name__ == "__main__":
    main()
