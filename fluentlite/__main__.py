"""``python -m fluentlite`` is the same as ``fluentlite``."""

import sys

from fluentlite.cli import main

if __name__ == "__main__":
    sys.exit(main())
