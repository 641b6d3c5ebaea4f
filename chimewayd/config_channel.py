"""The settings of one channel: its adapter, its limits, its policy."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chimewayd.config_types import RATE_FORM, ChannelName, ChannelRate, Number, OnUncertain, Whole
from chimewayd.durations import Duration, render

_SHORTEST_CALL = timedelta(milliseconds=100)
_MILLISECOND = timedelta(milliseconds=1)
_MONTH = timedelta(days=30)
_TEN_YEARS = timedelta(days=3650)


def _attempts_of_schedule(data: dict[str, Any]) -> int:
    return len(data["schedule"]) + 1 if data["schedule"] else 5


class RetryPolicy(BaseModel):
    """When a failed delivery is tried again.

    The default waits, before jitter, are 30 s, 4 min, 32 min and 4 h 16 min: five attempts
    in about five hours.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    schedule: tuple[Annotated[Duration, Field(ge=_MILLISECOND, le=_MONTH)], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=99,
        description="Explicit waits instead of base, factor and cap; the last one repeats.",
        json_schema_extra={
            "allowed": 'a list of 1 to 99, as in ["30s", "5m"]',
            "example": '["30s", "5m", "1h"]',
        },
    )
    max_attempts: Whole = Field(
        default_factory=_attempts_of_schedule,
        ge=1,
        le=100,
        description="Attempts before a delivery is cancelled; one more than a given schedule.",
        json_schema_extra={"default": "5"},
    )
    base: Duration = Field(
        default=timedelta(seconds=30),
        ge=_MILLISECOND,
        le=_MONTH,
        description="The wait after the first attempt.",
    )
    factor: Number = Field(
        default=8.0,
        ge=1,
        le=100,
        allow_inf_nan=False,
        description="Each wait is this many times the last.",
    )
    cap: Duration = Field(
        default=timedelta(hours=6),
        ge=_MILLISECOND,
        le=_MONTH,
        description="No wait is longer than this, before jitter.",
    )
    jitter: Number = Field(
        default=0.2,
        ge=0,
        le=0.9,
        allow_inf_nan=False,
        description="The share by which a wait is made longer or shorter at random.",
    )
    max_age: Duration | None = Field(
        default=None,
        ge=timedelta(seconds=1),
        le=timedelta(days=365),
        description="No retry is planned for so long after the delivery was due; unset: no limit. "
        "What a pause kept waiting still goes out: expires_at ends that.",
        json_schema_extra={"example": '"1d"'},
    )
    retry_after_cap: Duration = Field(
        default=timedelta(hours=24),
        ge=_MILLISECOND,
        le=_MONTH,
        description="The longest Retry-After of a provider that is honoured.",
    )

    @model_validator(mode="after")
    def _base_fits_under_cap(self) -> Self:
        if self.base > self.cap:
            waits = {"base": render(self.base), "cap": render(self.cap)}
            raise PydanticCustomError("waits", "base ({base}) is longer than cap ({cap})", waits)
        return self


class BreakerPolicy(BaseModel):
    """When a channel stops calling for a while, and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    failure_ratio: Number | None = Field(
        default=None,
        ge=0.01,
        le=1,
        allow_inf_nan=False,
        description="The share of failed calls that opens the breaker; unset: only a provider "
        "that cannot be reached at all does.",
        json_schema_extra={"example": "0.5"},
    )
    window: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="The time over which calls are counted, in each daemon.",
    )
    min_calls: Whole = Field(
        default=20, ge=1, le=10_000, description="Fewer calls than these say nothing."
    )
    open_for: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(milliseconds=100),
        le=timedelta(hours=1),
        description="How long it is open before one call may try; each failed try doubles that.",
    )
    longest_open: Duration = Field(
        default=timedelta(minutes=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(days=1),
        description="The longest wait between two tries.",
    )


class Retention(BaseModel):
    """How long what has ended is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    redact_after: Duration | None = Field(
        default=None,
        ge=timedelta(hours=1),
        le=_TEN_YEARS,
        description="How long after its end a delivery loses its payload, metadata and responses; "
        "unset: never.",
        json_schema_extra={"example": '"7d"'},
    )
    delete_after: Duration | None = Field(
        default=None,
        ge=timedelta(hours=1),
        le=_TEN_YEARS,
        description="How long after its end a delivery is deleted with its history; unset: never.",
        json_schema_extra={"example": '"90d"'},
    )

    @model_validator(mode="after")
    def _redacted_before_deleted(self) -> Self:
        if self.redact_after and self.delete_after and self.redact_after >= self.delete_after:
            ages = {"redact": render(self.redact_after), "delete": render(self.delete_after)}
            raise PydanticCustomError(
                "ages", "redact_after ({redact}) is not shorter than delete_after ({delete})", ages
            )
        return self


class ChannelConfig(BaseModel):
    """One channel: which adapter, its settings, its policy."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    adapter: str = Field(min_length=1, description="The adapter, by name or entry point.")
    concurrency: Whole = Field(
        default=10, ge=1, le=10_000, description="Calls of this channel at one time, in one daemon."
    )
    host_concurrency: Whole | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Calls to one host of a URL, or domain of a mail address, at one time, of "
        "all daemons together: each takes an equal share, at least 1; unset: no limit.",
        json_schema_extra={"example": "5"},
    )
    rate: ChannelRate | None = Field(
        default=None,
        description="Calls that all daemons together may begin in a time; unset: no limit.",
        json_schema_extra={"allowed": RATE_FORM, "example": '"100/min"'},
    )
    rate_burst: Whole | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Calls that may begin at once after a rest; unset: those of one second.",
        json_schema_extra={"example": "1"},
    )
    timeout: Duration = Field(
        default=timedelta(seconds=15),
        ge=_SHORTEST_CALL,
        le=timedelta(hours=1),
        description="The deadline of one call; at least 5s shorter than the lease.",
    )
    on_uncertain: OnUncertain = Field(
        default=OnUncertain.RETRY,
        description="What to do when a request was handed over and no answer came.",
    )
    templates: Path | None = Field(
        default=None,
        description="The folder of the templates that a payload may name; unset: none.",
        json_schema_extra={
            "allowed": "an absolute path",
            "example": '"/etc/chimewayd/templates"',
        },
    )
    fallback: ChannelName | None = Field(
        default=None,
        description="The channel of this configuration that a delivery is sent on by when it has "
        "failed for good on this one; unset: none.",
        json_schema_extra={"allowed": "the name of another channel", "example": '"sms"'},
    )
    recipient_override: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="For staging: everything on this channel goes to this recipient; unset: to "
        "each delivery's own.",
        json_schema_extra={"example": '"staging@example.org"'},
    )
    settings: dict[str, Any] = Field(
        default={}, description="The adapter's own settings; the adapter checks them."
    )
    retry: RetryPolicy = Field(
        default=RetryPolicy(), description="When a failed delivery is tried again."
    )
    breaker: BreakerPolicy = Field(
        default=BreakerPolicy(), description="When the channel stops calling for a while."
    )

    retention: Retention = Field(
        default=Retention(), description="How long what has ended is kept."
    )

    @property
    def burst(self) -> int:
        """Calls that may begin at once, where there is a rate."""
        if self.rate is None or self.rate_burst is not None:
            return self.rate_burst or 1
        return max(timedelta(seconds=1) // self.rate.gap, 1)
