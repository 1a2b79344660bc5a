SELECT
    project,
    sum(energy_kwh * counted) AS total_kwh,
    sum(CASE WHEN status IN ('failed', 'interrupted', 'pruned') THEN energy_kwh * counted END) AS waste_kwh,
    sum(CASE WHEN status IN ('failed', 'interrupted', 'pruned') THEN emissions_kg * counted END) AS waste_kg,
    sum(CASE WHEN status IN ('failed', 'interrupted', 'pruned') THEN energy_kwh * counted ELSE 0 END)
        / nullif(sum(energy_kwh * counted), 0) AS waste_share
FROM runs
GROUP BY project
ORDER BY waste_kwh DESC NULLS LAST
