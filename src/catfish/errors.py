"""The errors that a user can cause and cure; the command line prints them without a traceback."""


class UserError(ValueError):
    """Something outside the code is wrong: its message names the file, key or value, and the cure."""


class ConfigError(UserError):
    """A value in the params file is unknown, of the wrong type, or impossible."""


class RecordError(UserError):
    """A result file is missing, damaged, or was made by something else."""


class ResultError(UserError):
    """The results do not allow what was asked of them, such as a best value among runs that all diverged."""


class Interrupted(Exception):
    """The process was asked to end, by SIGTERM or SIGINT, and has saved its state: the same command goes on there."""
