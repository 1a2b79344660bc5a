"""The suite's machine lies nowhere: its own time zone would price the runs that no setting places."""

import os

os.environ["TZ"] = "UTC"
