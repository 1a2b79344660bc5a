"""``python -m carbon_callbacks``: the command, where its script is not on the path."""

import sys

from carbon_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
