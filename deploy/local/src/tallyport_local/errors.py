"""What goes wrong at the operator's side, and the exit code each kind means."""

from __future__ import annotations

from typing import ClassVar


class TallyportError(Exception):
    """Something the operator should read; the command line prints it and exits with ``exit_code``."""

    exit_code: ClassVar[int] = 1


class OperationFailedError(TallyportError):
    """The input was fine, but what was asked for failed."""

    exit_code: ClassVar[int] = 1


class InvalidInputError(TallyportError):
    """A file, an option or an answer that cannot be used as it is."""

    exit_code: ClassVar[int] = 2


class StillWaitingError(TallyportError):
    """The time is over and the effect is not there yet; it may still come."""

    exit_code: ClassVar[int] = 3
