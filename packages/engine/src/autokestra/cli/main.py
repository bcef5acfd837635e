"""The `workflow` command: which commands there are, and the one place where a failure becomes a line and a code.

A command's module is imported when the command runs, so that `workflow secrets get` pays for nothing else. A
command returns its exit code or nothing, and raises for everything that went wrong.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from autokestra import hardening
from autokestra.cli import console
from autokestra.cli.codes import (
    EXIT_BROKEN_PIPE,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_PERMISSION,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
)
from autokestra.cli.groups import Entry, LazyGroup
from autokestra.errors import AutokestraError

# The summaries stand here, so that the help of a group needs no command's module; a test compares them with the
# first line of each command's own help.
COMMANDS: Final[Mapping[str, Entry]] = {
    "init": Entry("autokestra.cli.run:init", "Write a first workflow into a directory."),
    "run": Entry("autokestra.cli.run:run", "Run a workflow."),
    "validate": Entry("autokestra.cli.run:validate", "Check workflows without running them."),
    "graph": Entry("autokestra.cli.graph:graph", "Show what comes after what, and when."),
    "schema": Entry("autokestra.cli.schema:schema", "Print the JSON schema of workflow files, for editors."),
    "execution": Entry("autokestra.cli.execution:execution", "Look at what ran: states, outputs, logs."),
    "worker": Entry("autokestra.cli.worker:worker", "Run tasks for `workflow run --pool`, until it is stopped."),
    "plugin": Entry("autokestra.cli.plugin:plugin", "List and describe actions, and begin a plugin."),
    "secrets": Entry("autokestra.cli.secrets:secrets", "Store, show and remove secrets."),
    "config": Entry("autokestra.cli.config:config", "Show settings and where each comes from."),
    "doctor": Entry("autokestra.cli.doctor:doctor", "Check keys, stores and this machine, and say what to do."),
    "completion": Entry(
        "autokestra.cli.completion.command:completion",
        "Print the script that completes commands for bash, zsh or fish.",
    ),
}


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click's signature
    """Print the version and leave."""
    if wanted and not ctx.resilient_parsing:  # a line that is only completed
        from importlib.metadata import version  # noqa: PLC0415  # reads the installed files: 20 ms

        console.out(f"autokestra {version('autokestra')}")
        ctx.exit()


root: Final = LazyGroup("workflow", COMMANDS, help="Run YAML workflows whose secrets stay secret.")
root.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_version,
        help="Show the version and exit.",
    )
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default that of the process) and return its exit code; no exception leaves."""
    try:
        hardening.reserve_standard_streams()
        protect()
        code = invoke(sys.argv[1:] if arguments is None else arguments)
        console.flush()
    except (Exception, KeyboardInterrupt) as failure:  # noqa: BLE001  # this is the place for it
        code = report(failure)
        try:
            console.flush()
        except OSError as unwritten:
            console.drop_output()
            code = code or report(unwritten)  # of a command that left early: --version
    console.end_talk()
    return code


def protect() -> None:
    """Close the process to other processes of this user, unless it is to be debugged, which is said."""
    if hardening.is_debugging():
        console.warn(f"{hardening.DEBUG_VARIABLE}=1: other processes of this user can read this one's memory")
    else:
        hardening.forbid_dumps()


def invoke(arguments: Sequence[str]) -> int:
    """Parse and run; return the code that the command returned, 0 when it returned nothing.

    click's own `main` is not used: it would turn a broken pipe into code 1 and Ctrl-C into the same exception
    as the end of input.
    """
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # pathlib costs 10 ms and this is text
    program = name if name in {"workflow", "autokestra"} else "workflow"
    with root.make_context(program, list(arguments)) as context:
        result: object = root.invoke(context)
    return result if isinstance(result, int) else 0


# --- failures -----------------------------------------------------------------------------------------------------


def report(failure: BaseException) -> int:
    """Say what went wrong in one line on stderr, with a hint where there is one, and return the exit code."""
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    from autokestra_secrets import SecretsError  # noqa: PLC0415  # only when something went wrong

    if isinstance(failure, KeyboardInterrupt | click.Abort):
        console.error("interrupted")
        return EXIT_INTERRUPTED
    if isinstance(failure, BrokenPipeError):  # the reader has seen enough; that is no failure to talk about
        console.drop_output()
        return EXIT_BROKEN_PIPE
    if isinstance(failure, AutokestraError | SecretsError):
        console.error(failure.message, hint=failure.hint)
        return failure.exit_code
    if isinstance(failure, click.ClickException):
        return report_usage(failure)
    if isinstance(failure, OSError):
        return report_system(failure)
    return report_bug(failure)


def report_usage(failure: click.ClickException) -> int:
    """Say what is wrong with the command line; without a command, show the help in its place."""
    if isinstance(failure, click.exceptions.NoArgsIsHelpError):
        console.show_help(failure.format_message())
        return EXIT_USAGE
    nearest: Sequence[str] | None = getattr(failure, "possibilities", None)
    context = failure.ctx if isinstance(failure, click.UsageError) else None
    hint = f"{context.command_path} --help" if context else None
    if nearest:
        hint = f"did you mean {' or '.join(nearest)}?"
    message = usage_message(failure)
    console.error(message[:1].lower() + message[1:].removesuffix("."), hint=hint)
    return EXIT_USAGE


def usage_message(failure: click.ClickException) -> str:
    """Return what is wrong with the command line without a word of it, for click quotes what may be a value."""
    if isinstance(failure, click.NoSuchOption):
        return "no such option"
    if type(failure) is click.UsageError:
        return "too many arguments" if failure.message.startswith("Got unexpected") else failure.message
    if type(failure) is click.BadParameter and failure.param is not None:
        place = failure.param_hint or failure.param.get_error_hint(failure.ctx)
        return f"invalid value for {place}: expected {expected(failure.param.type)}"
    return failure.format_message()  # its other kinds name an option or an argument of ours


def expected(kind: "click.ParamType[Any]") -> str:
    """Return what a parameter of this kind takes, in words."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    whole = isinstance(kind, click.types.IntParamType)
    number = "a whole number" if whole else "a number"
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None and high is not None:
        return f"{number} from {low} to {high}"
    return number if low is None else f"{number}, {low} or more"


def report_system(failure: OSError) -> int:
    """Say what the operating system refused, and of which file."""
    reason = (failure.strerror or type(failure).__name__).lower()
    files = [os.fsdecode(name) for name in (failure.filename, failure.filename2) if isinstance(name, str | bytes)]
    names = [name for name in map(shown_name, files) if name != "…"]  # nothing of it is on the disk
    hint = _where_to_look(failure, files[0]) if files else None
    if isinstance(failure, FileNotFoundError) and _is_nowhere():
        reason, hint = f"{reason}, and the working directory is gone", "go to one that is there, with: cd"
    console.error(f"{reason}: {' and '.join(map(repr, names))}" if names else reason, hint=hint)
    if isinstance(failure, PermissionError):
        return EXIT_PERMISSION
    if isinstance(failure, FileNotFoundError | IsADirectoryError | NotADirectoryError | FileExistsError):
        return EXIT_USAGE
    return EXIT_UNAVAILABLE


def _is_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    return False


def _where_to_look(failure: OSError, name: str) -> str | None:
    """Return the line to type next, for what is there and cannot be used, or is not there."""
    from shlex import quote  # noqa: PLC0415  # only when something went wrong

    if isinstance(failure, IsADirectoryError):
        return "name a file in it"
    if isinstance(failure, PermissionError):
        return f"look at: ls -ld {quote(name)}"
    if not isinstance(failure, FileNotFoundError | NotADirectoryError):
        return None
    folder = name
    while not os.path.isdir(folder):  # noqa: PTH112  # pathlib costs 10 ms and this is text
        folder = os.path.dirname(folder) or os.curdir  # noqa: PTH120
        if folder == os.curdir:
            break
    return f"look at what is there: ls -la {quote(folder)}"


def shown_name(name: str | bytes) -> str:
    """Return as much of a file's name as may be said."""
    from autokestra_secrets import shown_path  # noqa: PLC0415  # only when something went wrong

    text = os.fsdecode(name)
    return text if text == console.STDOUT else shown_path(text)


def report_bug(failure: BaseException) -> int:
    """Own up to a bug by the type of the exception; its message is never shown, for it may hold a value.

    With `AUTOKESTRA_DEBUG=1` the stack is shown as well: files, lines and functions, of causes too, still without
    messages, notes or variables.
    """
    debugging = hardening.is_debugging()
    console.error(
        f"this is a bug in autokestra: {type(failure).__name__}",
        hint=None if debugging else f"see where it happened with {hardening.DEBUG_VARIABLE}=1, and report it",
    )
    if debugging:
        import traceback  # noqa: PLC0415  # only for a bug

        link: BaseException | None = failure
        seen: set[int] = set()
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            console.notice(f"{type(link).__module__}.{type(link).__qualname__} at (innermost last)")
            for frame in traceback.extract_tb(link.__traceback__):
                console.notice(f"  {frame.filename}:{frame.lineno} in {frame.name}")
            link = link.__cause__ or link.__context__
    return EXIT_BUG
