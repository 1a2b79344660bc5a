"""Settings: table of keys (`schema`), sources (`sources`), precedence (`resolve`)."""
