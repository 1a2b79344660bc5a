"""The version of this package, used by the build and in results."""

VERSION = "0.1.0"
