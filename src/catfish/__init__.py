"""catfish: the catastrophic Fisher explosion, reproduced, and its penalties and measurements as a library."""

__version__ = "0.1.0"
