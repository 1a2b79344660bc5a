SELECT
    phase,
    sum(count) AS entered,
    sum(duration_s * counted) / 3600 AS hours,
    sum(energy_kwh * counted) AS total_kwh
FROM phases
WHERE kind = 'phase'
GROUP BY phase
ORDER BY total_kwh DESC NULLS LAST
