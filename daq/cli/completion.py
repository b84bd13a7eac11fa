"""`daq completion`: what a shell needs to complete commands, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print the completion script of SHELL; it completes the installed command `daq`.

    \b
    bash   eval "$(daq completion bash)"      in ~/.bashrc
    zsh    eval "$(daq completion zsh)"       in ~/.zshrc
    fish   daq completion fish > ~/.config/fish/completions/daq.fish
    """
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    root = ctx.find_root().command
    click.echo(completion_class(root, {}, "daq", "_DAQ_COMPLETE").source())
