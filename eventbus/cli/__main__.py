"""`python -m eventbus.cli` is the command `eventbus`."""

from eventbus.cli import main

main()
