"""`python -m broker` is the command `broker`."""

from broker.cli import main

raise SystemExit(main())
