SELECT
    project,
    accuracy_metric,
    sum(runs) AS trainings,
    sum(run_kwh) AS total_kwh,
    max(CASE WHEN place = 1 THEN accuracy END) AS best_accuracy,
    max(CASE WHEN place = 1 THEN run_id END) AS best_run_id,
    max(CASE WHEN place = 1 THEN energy_kwh END) AS best_run_kwh,
    max(CASE WHEN place = 1 THEN energy_kwh / nullif(accuracy, 0) END) AS kwh_per_accuracy
FROM (
    SELECT
        project, accuracy_metric, accuracy, run_id, energy_kwh,
        CASE WHEN counted > 0 THEN 1 ELSE 0 END AS runs,
        energy_kwh * counted AS run_kwh,
        row_number() OVER (
            PARTITION BY project, accuracy_metric ORDER BY accuracy DESC, energy_kwh, run_id
        ) AS place
    FROM runs
    WHERE accuracy IS NOT NULL AND energy_kwh IS NOT NULL
) AS ranked
GROUP BY project, accuracy_metric
ORDER BY total_kwh DESC NULLS LAST
