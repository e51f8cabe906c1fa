"""``python -m ticketflow``."""

import sys

from ticketflow.cli.main import main

sys.exit(main())
