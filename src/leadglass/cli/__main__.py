"""`python -m leadglass.cli` is `leadglass`."""

from leadglass.cli import main

main(prog_name="leadglass")
