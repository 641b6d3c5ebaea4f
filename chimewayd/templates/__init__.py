"""Templates: what a payload may name instead of holding the text itself.

    run ──▶ Templated.deliver ──▶ Renderer ──▶ a worker process ──▶ the adapter's deliver
              │ no template named: straight to the adapter
              └ broken: permanent, with file and line; nothing was sent

A channel without `templates` has none of this in its way. The limits stand here, because parent
and worker share them and nothing else.
"""

CPU_SECONDS = 1.0
"""What one rendering may take of a processor; the text of a mail takes a thousandth of it."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of a worker, all of it."""
OUTPUT_LIMIT_CHARACTERS = 1024 * 1024
"""All fields of a payload together."""
