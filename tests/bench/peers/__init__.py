"""The peers' workers: scripts that run in the peer's own environment, and how to start them."""
