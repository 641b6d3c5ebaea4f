"""Move the rules of style sheets into style attributes: many mail readers know no other."""

import anyio


async def inline_css(html: str) -> str:
    """Return the HTML with its own CSS inlined; nothing is loaded, be it from a host or a file.

    Needs the extra `css`. Runs in a thread: many rules on many elements take their time.

    Raises:
        ValueError: the HTML cannot be read.
    """
    # Imported here: it belongs to an extra.
    import css_inline  # noqa: PLC0415

    inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
    try:
        return await anyio.to_thread.run_sync(inliner.inline, html, abandon_on_cancel=True)
    except css_inline.InlineError as error:
        raise ValueError("payload.html: its CSS cannot be inlined") from error
