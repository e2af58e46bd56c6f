"""python -m catfish: the command line where the package is on the path but not installed."""

from catfish.cli import main

main()
