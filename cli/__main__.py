"""`python -m blurgen_cli` is `blurgen`."""

from blurgen_cli.main import main

main(prog_name="blurgen")
