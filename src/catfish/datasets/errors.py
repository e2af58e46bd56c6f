"""The error of the data layer."""

from catfish.errors import UserError


class DataError(UserError):
    """A data file is missing, damaged or not the expected one, or a split is impossible."""
