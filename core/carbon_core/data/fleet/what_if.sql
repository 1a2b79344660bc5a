SELECT
    countries.country_iso_code AS country_iso_code,
    countries.country AS country,
    countries.year AS year,
    countries.g_per_kwh AS g_per_kwh,
    fleet.total_kwh * countries.g_per_kwh / 1000 AS what_if_kg,
    fleet.total_kg AS actual_kg
FROM countries
CROSS JOIN (
    SELECT sum(energy_kwh * counted) AS total_kwh, sum(emissions_kg * counted) AS total_kg FROM runs
) AS fleet
ORDER BY what_if_kg
