"""The version of this package, read by the build and by results."""

VERSION = "0.1.0"
