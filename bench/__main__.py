"""`python -m bench` is `l2obench`."""

from bench.cli import main

main()
