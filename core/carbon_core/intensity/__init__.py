"""Grid carbon intensity, by location and time."""
