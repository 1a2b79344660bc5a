"""Settings: the table of keys (`schema`), where values come from (`sources`), who wins (`resolve`)."""
