"""Settings: table of keys (`schema`), where values come from (`sources`), precedence (`resolve`)."""
