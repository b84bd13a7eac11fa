"""`python -m daq`."""

from daq.cli.main import main

if __name__ == "__main__":
    main()
