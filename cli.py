"""The door: imports the Typer app and runs it; nothing else."""

from zmqnode.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
