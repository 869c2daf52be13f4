"""`python -m app.cli`: the way a process starts another of our commands."""

from app.cli.main import main

main()
