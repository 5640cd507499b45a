"""`python -m streams.cli`: the same as the console script."""

from streams.cli import main

if __name__ == "__main__":
    main()
