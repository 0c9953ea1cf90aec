"""`python -m memcore` is the command `memcore`."""

from memcore.cli.main import main

if __name__ == "__main__":
    main(prog_name="memcore")
