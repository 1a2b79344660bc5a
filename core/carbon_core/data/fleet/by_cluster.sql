SELECT
    cluster,
    sum(CASE WHEN counted > 0 THEN 1 ELSE 0 END) AS runs,
    sum(duration_s * counted) / 3600 AS hours,
    sum(energy_kwh * counted) AS total_kwh,
    sum(coalesce(energy_low_kwh, energy_kwh) * counted) AS low_kwh,
    sum(coalesce(energy_high_kwh, energy_kwh) * counted) AS high_kwh,
    sum(emissions_kg * counted) AS total_kg,
    sum(CASE WHEN is_known THEN 0 ELSE 1 END) AS unknown_runs
FROM runs
GROUP BY cluster
ORDER BY total_kwh DESC NULLS LAST
