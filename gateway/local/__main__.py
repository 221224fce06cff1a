"""python -m gateway.local: see `gateway.local.supervisor`."""

import sys

from gateway.local.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
