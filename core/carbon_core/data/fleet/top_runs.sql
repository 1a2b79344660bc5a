SELECT
    run_id, project, user_name, cluster, job_id, status, started_at, duration_s,
    energy_kwh, energy_low_kwh, energy_high_kwh, emissions_kg, part_of
FROM runs
WHERE energy_kwh IS NOT NULL AND counted > 0
ORDER BY energy_kwh DESC, run_id
LIMIT 20
