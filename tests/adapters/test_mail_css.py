"""CSS of mails: inlined, bounded, and nothing is loaded."""

import runpy
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from mailing import mail_to, smtp
from relay import relay

from chimewayd.adapters.mail_css import inline_css
from chimewayd.models import Delivery, Succeeded, Temporary, TimedOut

pytestmark = pytest.mark.anyio

SLOW = f"<style>{''.join(f'p{{--a{n}:0}}' for n in range(1300))}</style>{'<p>x' * 1100}"
"""Some seconds of work, and just within the bound."""


async def test_css_is_inlined_and_nothing_is_loaded(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.css"
    sheet.write_text("p { color: red }")
    links = "".join(
        f'<link rel="stylesheet" href="{href}">'
        for href in (sheet.as_uri(), str(sheet), "http://127.0.0.1:1/a.css")
    )

    inlined = await inline_css(f"<html><head>{links}<style>p {{ margin: 0 }}</style><p>Hi")

    assert '<p style="margin: 0' in inlined
    assert "red" not in inlined


async def test_css_that_would_take_minutes_is_refused() -> None:
    rules = "".join(f"p{{--a{number}:0}}" for number in range(5000))

    with pytest.raises(ValueError, match=r"^payload\.html: has too many style rules"):
        await inline_css(f"<style>{rules}</style>{'<p>x' * 20_000}")


async def test_channel_that_wants_it_sends_html_with_its_css_inlined(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, inline_css=True) as adapter:
        html = "<style>p { margin: 0 }</style><p>Hi"
        outcome = await adapter.deliver(mail_to(delivery, html=html))

    assert isinstance(outcome, Succeeded)
    body = smarthost.mails[0].message.get_body(("html",))
    assert body is not None
    assert '<p style="margin: 0' in body.get_content()


async def test_css_that_takes_long_ends_at_the_deadline_and_delays_nobody(
    delivery: Delivery,
) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0.01)
            beats += 1

    async with (
        relay() as smarthost,
        smtp(smarthost.port, timedelta(seconds=1), inline_css=True) as adapter,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(beat)
        outcome = await adapter.deliver(mail_to(delivery, html=SLOW))
        tasks.cancel_scope.cancel()

    assert isinstance(outcome, TimedOut)
    assert not outcome.request_sent
    assert beats > 10


async def test_html_that_kills_whoever_inlines_it_fails_alone(delivery: Delivery) -> None:
    async with relay() as smarthost, smtp(smarthost.port, inline_css=True) as adapter:
        deep = await adapter.deliver(mail_to(delivery, html="<style>p{}</style>" + "<b>" * 50_000))
        plain = await adapter.deliver(mail_to(delivery, html="<p>Hi"))

    assert (type(deep), type(plain)) == (Temporary, Succeeded)
    assert deep.detail == "payload.html: the process that inlines its CSS died over it"


def test_main_module_does_nothing_where_a_worker_imports_it() -> None:
    runpy.run_module("chimewayd.__main__", run_name="__mp_main__")
