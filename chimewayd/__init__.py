"""chimewayd: performs the notification deliveries that any program inserts into Postgres."""

__version__ = "0.1.0"
