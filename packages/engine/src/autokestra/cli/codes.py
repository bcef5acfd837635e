"""The exit codes of `workflow`, once: what each means, for those who read and for those who write a script."""

from collections.abc import Mapping
from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INVALID: Final = 3
EXIT_UNAVAILABLE: Final = 8
EXIT_PERMISSION: Final = 9
EXIT_CANCELLED: Final = 10
EXIT_FOUND: Final = 12
EXIT_BUG: Final = 70  # EX_SOFTWARE of sysexits.h: no code that a user's script may want to tell apart
EXIT_OWN: Final = 125  # these three as in env(1) of POSIX: codes that no program should use itself
EXIT_CANNOT: Final = 126
EXIT_NOT_FOUND: Final = 127
EXIT_INTERRUPTED: Final = 130  # what shells show for SIGINT
EXIT_BROKEN_PIPE: Final = 141  # what shells show for SIGPIPE

# The table of docs/reference/commands.md; a test compares the two, and looks for the code of every error in it.
MEANINGS: Final[Mapping[int, str]] = {
    0: "done",
    EXIT_FAILED: "the execution failed",
    EXIT_USAGE: "usage: also a bad name, an empty or too large value, no terminal to ask",
    EXIT_INVALID: "the workflow is invalid or absent: anything found without running it, undeclared secrets included",
    4: "a named secret, a version of one or a key slot is absent",
    5: "the key is missing, or is no key",
    6: "the key is wrong",
    7: "stored data is damaged, rolled back or of an unknown format",
    EXIT_UNAVAILABLE: "a store, a database or a cluster is unavailable",
    EXIT_PERMISSION: "permission; isolation is required and not to be had",
    EXIT_CANCELLED: "cancelled",
    11: "conflict: somebody else was first, or something would be overwritten",
    EXIT_FOUND: "a check found something: `verify`, `scan`, `doctor`",
    EXIT_BUG: "a bug in autokestra: please report it",
    EXIT_OWN: "`secrets exec` failed before its program ended; else it has the code of the program",
    EXIT_CANNOT: "`secrets exec` cannot run its program",
    EXIT_NOT_FOUND: "`secrets exec` does not find its program",
    EXIT_INTERRUPTED: "Ctrl-C (143 for SIGTERM, 141 when the reader of a pipe left)",
}
