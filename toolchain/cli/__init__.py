"""The ``spikeloom`` command line: options in, one call of ``toolchain.flow``, tables or JSON out.

Heavy modules are imported inside the verbs, so that help and wrong options answer at once.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from toolchain import __version__

# in the order that help lists verbs in
from toolchain.cli import demo, networks, interchange, events, check, hardware, synthesis  # isort: skip
from toolchain.cli import board, certify, accounts, report, compare  # isort: skip
from toolchain.cli.shared import app, log
from toolchain.errors import InvalidValue, SpikeloomError
from toolchain.tables import out

__all__ = [
    "accounts",
    "app",
    "board",
    "certify",
    "check",
    "compare",
    "demo",
    "events",
    "hardware",
    "interchange",
    "networks",
    "report",
    "run",
    "synthesis",
]


# Typer carries its own copy of Click since 0.2x, or uses Click's: take the base from what it exports.
_ClickException: Any = typer.BadParameter.__mro__[2]

INTERRUPTED = 130
"""Exit code of a run that was stopped: 128 and the number of SIGINT."""
CLOSED_PIPE = 141
"""Exit code where nobody reads the output any more: 128 and the number of SIGPIPE."""


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """From a trained PyTorch network to verified Verilog of a spiking network, and the truth about its energy."""
    if version:
        out.print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise InvalidValue("no command is given; spikeloom --help lists them")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; errors become one line on standard error and exit code 2."""
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except _ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "spikeloom"
        message = " ".join(error.format_message().split())
        if hasattr(error.__cause__, "errors"):  # Typer converts through pydantic, whose text leaves the value out
            message = message.partition(", unable to parse")[0] + f", not {error.__cause__.errors()[0]['input']!r}"
        log.print(f"error: {message}; see {command} --help", markup=False, soft_wrap=True)
        return 2
    except SpikeloomError as error:
        log.print(f"error: {' '.join(str(error).split())}", markup=False, soft_wrap=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        log.print("stopped")
        return INTERRUPTED
    except MemoryError:
        log.print("error: memory ran out; take fewer --images, or free some", markup=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return CLOSED_PIPE
    except SystemExit as error:
        if isinstance(
            error.__context__, BrokenPipeError
        ):  # newer Typers turn it into exit code 1, which says that a check failed
            return CLOSED_PIPE
        raise
    except OSError as error:  # a path too long or in a folder without permission, a full disk
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        log.print(
            f"error: {where}{error.strerror}; choose another path or check its permissions",
            markup=False,
            soft_wrap=True,
        )
        return 2
    if code == INTERRUPTED:  # newer Typers turn Ctrl-C into this
        log.print("stopped")
    return int(code or 0)
