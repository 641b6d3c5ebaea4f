"""Move the rules of style sheets into style attributes: many mail readers know no other.

The library never lets go of the interpreter while it works, so it works in a process of its
own, which is kept for the next mail and killed where the deadline passes.
"""

from anyio import to_process

LARGEST_WORK = 2_000_000_000
"""Declarations squared, times elements: so much takes some seconds at worst, and 100 MiB.

Every declaration may hit every element, where it is compared with those that hit it before.
"""


async def inline_css(html: str) -> str:
    """Return the HTML with its own CSS inlined; nothing is loaded, be it from a host or a file.

    Needs the extra `css`.

    Raises:
        ValueError: the HTML cannot be read, or it would take too long.
    """
    declarations = html.count("{") + html.count(";")
    if declarations**2 * html.count("<") > LARGEST_WORK:
        raise ValueError("payload.html: has too many style rules on too many elements to inline")
    return await to_process.run_sync(inlined, html, cancellable=True)


def inlined(html: str) -> str:
    """Do the work of `inline_css`, here and now."""
    # Imported here: it belongs to an extra.
    import css_inline  # noqa: PLC0415 - an extra

    inliner = css_inline.CSSInliner(load_remote_stylesheets=False)
    try:
        return inliner.inline(html)
    except css_inline.InlineError as error:
        raise ValueError("payload.html: its CSS cannot be inlined") from error
