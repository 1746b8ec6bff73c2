"""`python -m fomm_cli` equals `fomm`."""

from fomm_cli.commands.app import run

if __name__ == "__main__":
    run()
