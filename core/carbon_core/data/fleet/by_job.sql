SELECT
    scheduler, cluster, namespace,
    whole_id AS job_id,
    sum(CASE WHEN counted > 0 THEN 1 ELSE 0 END) AS runs,
    sum(duration_s * counted) / 3600 AS hours,
    sum(energy_kwh * counted) AS total_kwh,
    sum(coalesce(energy_low_kwh, energy_kwh) * counted) AS low_kwh,
    sum(coalesce(energy_high_kwh, energy_kwh) * counted) AS high_kwh,
    sum(emissions_kg * counted) AS total_kg,
    sum(CASE WHEN is_known THEN 0 ELSE 1 END) AS unknown_runs
FROM (
    SELECT
        scheduler, cluster, namespace, counted, duration_s,
        energy_kwh, energy_low_kwh, energy_high_kwh, emissions_kg, is_known,
        coalesce(array_id, job_id) AS whole_id
    FROM runs
) AS of_jobs
GROUP BY scheduler, cluster, namespace, whole_id
ORDER BY total_kwh DESC NULLS LAST
