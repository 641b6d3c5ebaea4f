"""`chimewayd completion`: completion of commands and options for a shell."""
# ruff: noqa: D301, PLC0415 - click wants a real \b; imports inside functions keep --help quick

import click

from chimewayd.cli.output import emit

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, /, *, shell: str) -> None:
    """Print a script that completes commands and options in a shell.

    \b
    Examples:
      chimewayd completion bash > /etc/bash_completion.d/chimewayd
      chimewayd completion zsh > /usr/local/share/zsh/site-functions/_chimewayd
      chimewayd completion fish > ~/.config/fish/completions/chimewayd.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    root = context.find_root().command
    # What click's main() looks for: it then answers with words instead of running a command.
    emit(found(root, {}, "chimewayd", "_CHIMEWAYD_COMPLETE").source())
