"""Tables of many runs for SQL: runs, their phases and devices (``carbon-callbacks export``)."""
