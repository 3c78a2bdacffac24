"""Start the live server: `python run_server.py --help`."""

import sys

from server.command import main

if __name__ == "__main__":
    sys.exit(main())
