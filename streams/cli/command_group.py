"""A command that runs by itself and has commands below it: `sandbox`, and `sandbox tick`."""

from typing import Any

import click

from streams.cli.command import CliCommand, CliGroup


class _Alone(CliCommand):
    """The command of a group; it does not run when one below it was named."""

    def invoke(self, ctx: click.Context) -> int:
        if ctx.invoked_subcommand is None:
            return super().invoke(ctx)
        misplaced = [name for name in ctx.params if ctx.get_parameter_source(name) is not _DEFAULT]
        if misplaced:
            options = ", ".join(sorted(one.opts[0] for one in self.params if one.name in misplaced))
            raise click.UsageError(f"{options} stands before {ctx.invoked_subcommand}; its options come after it", ctx)
        return 0


_DEFAULT = click.core.ParameterSource.DEFAULT


class CommandGroup(CliGroup, _Alone):
    """A command with commands below it, which are loaded when they are asked for. Options before their names are
    refused: they would mean the command itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, invoke_without_command=True, **kwargs)
