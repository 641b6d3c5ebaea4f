"""The schema of a next release: a function returns one column more, and that one first."""

from engine import Connection

FOUND = """
select p.oid::regprocedure::text as signature, pg_get_function_arguments(p.oid) as arguments,
  p.pronargs as count, pg_get_function_result(p.oid) as result
from pg_proc as p
where p.pronamespace = 'chimeway'::regnamespace and p.proname = $1
"""


async def widen(connection: Connection, function: str) -> None:
    """Have a function return one column more, before the others: places do not count."""
    (found,) = await connection.fetch(FOUND, function)
    wider = found["result"].replace("TABLE(", "TABLE(neighbour text, ")
    assert wider != found["result"]
    given = ", ".join(f"${n}" for n in range(1, found["count"] + 1))
    # In a schema aside it keeps its name, by which its body may call its parameters.
    await connection.execute(
        f"create schema narrow; alter function {found['signature']} set schema narrow; "  # noqa: S608 - our own names
        f"create function chimeway.{function}({found['arguments']}) returns {wider} language sql "
        f"as 'select null, c.* from narrow.{function}({given}) as c'"
    )
