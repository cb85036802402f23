"""`python -m trader.cli`: the command without its console script."""

from trader.cli import main

main()
