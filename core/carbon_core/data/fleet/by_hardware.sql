SELECT
    component,
    device,
    method,
    grade,
    count(DISTINCT run_id) AS runs,
    sum(energy_kwh * counted) AS total_kwh,
    sum(missing_s) / 3600 AS missing_hours
FROM devices
GROUP BY component, device, method, grade
ORDER BY total_kwh DESC NULLS LAST
