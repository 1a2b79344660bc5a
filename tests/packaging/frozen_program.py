"""A program for PyInstaller: it measures, and reads a table. `test_frozen_program` runs it."""

from __future__ import annotations

import json
import sys

import carbon_callbacks


def main() -> None:
    tracker = carbon_callbacks.EmissionsTracker(country_iso_code="FRA", log_level="error")
    tracker.start()
    sum(i * i for i in range(100_000))
    kg = tracker.stop()
    data = tracker.final_emissions_data
    print(
        json.dumps(
            {
                "frozen": getattr(sys, "frozen", False),
                "package": carbon_callbacks.__file__,
                "country": data.country_name,
                "kg": kg,
            }
        )
    )


if __name__ == "__main__":
    main()
