"""``python -m deltackpt`` is the command line."""

from deltackpt.cli.main import main

if __name__ == "__main__":
    main()
