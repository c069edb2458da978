"""``python -m zmqnode``: the same as the script."""

from zmqnode.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
