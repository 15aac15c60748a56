-- Rows of a deployment after years; read by pages_rows.py, which says how many and turns the session's triggers off.
-- The largest incident is incident-0, the bundle with many files the newest.

CREATE FUNCTION pg_temp.digest_of(text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT encode(sha256($1::bytea), 'hex') $$;

INSERT INTO orchestrator_jobs
    (job_id, job_type, status, payload, idempotency_key, created_at, run_after, started_at, completed_at, worker_id,
     error_code, error_message, retry_count, max_retries, attempts, priority, lease_token, lease_expires_at, progress,
     cancel_requested, result, incident_id, requested_by, active_key)
SELECT gen_random_uuid(), kind, status, '{"chunk_size_mb": 256, "allow_partial": false, "source": "live"}', '', made, made,
       CASE WHEN status <> 'queued' THEN made END,
       CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN made + interval '1 minute' END,
       CASE WHEN status = 'processing' THEN 'host-a/' || n ELSE '' END,
       CASE WHEN status = 'failed' THEN 'source_unavailable' ELSE '' END,
       CASE WHEN status = 'failed' THEN 'Forensic answered HTTP 503.' ELSE '' END,
       0, 3, CASE WHEN status = 'queued' THEN 0 ELSE 1 END, 100,
       CASE WHEN status = 'processing' THEN gen_random_uuid() END,
       CASE WHEN status = 'processing' THEN now() + interval '10 minutes' - (n %% 4) * interval '5 minutes' END,
       CASE WHEN status = 'processing'
            THEN '{"phase": "packing", "done": 3145728, "total": 5242880, "unit": "bytes", "rate": 1048576}'::jsonb
            ELSE '{}' END,
       false, CASE WHEN status = 'completed' THEN '{"complete": true}'::jsonb END,
       'incident-' || n %% %(incidents)s, 'analyst', NULL
FROM (SELECT n, now() - make_interval(secs => 86400.0 * 700 * (%(jobs)s - n) / %(jobs)s) AS made,
             (ARRAY['bundle_create', 'bundle_create', 'bundle_verify', 'rehydrate'])[1 + n %% 4] AS kind,
             CASE WHEN n > %(jobs)s - 12 THEN 'processing' WHEN n > %(jobs)s - 300 THEN 'queued'
                  WHEN n %% 100 = 0 THEN 'failed' WHEN n %% 100 = 1 THEN 'cancelled' ELSE 'completed' END AS status
      FROM generate_series(1, %(jobs)s) AS n) AS wanted;

INSERT INTO orchestrator_job_attempts
    (job_id, number, worker_id, lease_token, started_at, ended_at, outcome, error_code, error_message)
SELECT job_id, 1, 'host-a/42', gen_random_uuid(), started_at, completed_at,
       CASE WHEN status = 'processing' THEN 'running' ELSE status END, error_code, error_message
FROM orchestrator_jobs WHERE status <> 'queued';

INSERT INTO orchestrator_job_log (job_id, at, level, message, fields)
SELECT job_id, started_at, 'info', 'claimed', '{"worker": "host-a/42"}' FROM orchestrator_jobs WHERE status <> 'queued';

INSERT INTO orchestrator_job_totals (job_type, status, shard, count)
SELECT job_type, status, 0, count(*) FROM orchestrator_jobs GROUP BY job_type, status;

INSERT INTO orchestrator_bundles
    (bundle_id, incident_id, name, size, sha256, created_at, created_by, job_id, source, compression, key_id, signer,
     content_digest, manifest_hash, complete, missing, files, total_bytes, state, verified_at, verified_ok)
SELECT gen_random_uuid(), 'incident-' || n %% %(incidents)s, 'bundle_' || n || '.tar.zst', 1000000 + n,
       pg_temp.digest_of(n::text), now() - make_interval(secs => 86400.0 * 700 * (%(bundles)s - n) / %(bundles)s), 'analyst', NULL,
       'live', 'zstd', pg_temp.digest_of('key'), 'orch_sign', pg_temp.digest_of((-n)::text), pg_temp.digest_of(('m' || n)::text), true, '[]', 58,
       4900000, 'ready', now() - interval '1 day', n %% 1000 <> 0
FROM generate_series(1, %(bundles)s) AS n;

INSERT INTO orchestrator_bundle_verifications (bundle_id, at, ok, report, job_id, requested_by)
SELECT bundle_id, verified_at, verified_ok,
       jsonb_build_object('verified', verified_ok, 'complete', true, 'files', files, 'key_id', key_id, 'checks', '[]'::jsonb),
       gen_random_uuid(), 'analyst' FROM orchestrator_bundles;

INSERT INTO orchestrator_bundle_manifests (bundle_id, raw)
SELECT bundle_id, convert_to(json_build_object('files', (
    SELECT json_agg(json_build_object('path', 'artifacts/' || n || '/System-' || n || '.evtx', 'size', 1000 + n,
                                      'sha256', pg_temp.digest_of(name || n)))
    FROM generate_series(1, CASE WHEN name = 'bundle_' || %(bundles)s || '.tar.zst' THEN %(files)s ELSE 3 END) AS n
))::text, 'UTF8') FROM orchestrator_bundles;

-- As the search knows them: every file of the bundle with many, and of each other one more than its manifest lists.
INSERT INTO orchestrator_bundle_artifacts
    (bundle_id, place, artifact_id, name, size, sha256, original_name, kind, host, collected_at)
SELECT bundle_id, n - 1, n::text, 'System-' || n || '.evtx', 1000 + n, pg_temp.digest_of(name || n), '',
       (ARRAY['evtx', 'memory', 'registry', 'prefetch'])[1 + n %% 4], 'host-' || n %% 40, '2026-01-01T00:00:00Z'
FROM orchestrator_bundles
CROSS JOIN LATERAL generate_series(1, CASE WHEN name = 'bundle_' || %(bundles)s || '.tar.zst' THEN %(files)s
                                           ELSE %(bundled)s / %(bundles)s END) AS n;

INSERT INTO orchestrator_restored_incidents
    (incident_id, restored_at, restored_by, bundle_sha256, content_digest, signature_checked, has_alerts, has_artifacts,
     missing, left_out, events, alerts, artifacts)
SELECT 'incident-' || n, now() - interval '30 days', 'operator', pg_temp.digest_of(n::text), pg_temp.digest_of((-n)::text), true, true, true,
       '[]', '{}', %(events)s / 2 / CASE n WHEN 0 THEN 1 ELSE %(restored)s END,
       %(alerts)s / 2 / CASE n WHEN 0 THEN 1 ELSE %(restored)s END, 58
FROM generate_series(0, %(restored)s - 1) AS n;

-- Half of them belong to the largest incident.
INSERT INTO orchestrator_alerts (incident_id, id_type, alert_id, occurrence, timestamp, severity, title, record)
SELECT 'incident-' || CASE WHEN n %% 2 = 0 THEN 0 ELSE (n / 2) %% %(restored)s END, 'string', 'alert-' || n, 0,
       to_char(timestamptz '2026-01-01' + n * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       (ARRAY['low', 'medium', 'high', 'critical'])[1 + n %% 4], 'Suspicious PowerShell',
       format('{"alert_type":"execution","id":"alert-%%s","severity":"high","source":"edr","title":"Suspicious PowerShell"}', n)
FROM generate_series(1, %(alerts)s) AS n;

INSERT INTO orchestrator_timeline_headers (incident_id, record)
SELECT 'incident-' || n, format('{"incident_id":"incident-%%s"}', n) FROM generate_series(0, %(restored)s - 1) AS n;

-- Half of them belong to the largest incident.
INSERT INTO orchestrator_timeline_events (incident_id, event_digest, occurrence, position, record)
SELECT 'incident-' || CASE WHEN n %% 2 = 0 THEN 0 ELSE (n / 2) %% %(restored)s END, pg_temp.digest_of(n::text), 0, n,
       jsonb_build_object('timestamp', to_char(timestamptz '2026-01-01' + n * interval '1 second',
                                               'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                          'source', 'host-' || n %% 40, 'target', 'host-' || n %% 7,
                          'alert_type', (ARRAY['execution', 'lateral_movement', 'exfiltration', 'impact'])[1 + n %% 4],
                          'severity', (ARRAY['low', 'medium', 'high', 'critical'])[1 + n %% 4],
                          'matches', '[]'::jsonb, 'metadata', '{}'::jsonb)::text
FROM generate_series(1, %(events)s) AS n;

-- Indexed records: many of the largest incident, of the next one as many as the largest public incident has. Their
-- facts and counts are computed by the product (pages_side.py).
INSERT INTO orchestrator_timelines
    (incident_id, origin, bundle_id, sha256, read_at, events, kept, dated, first_us, last_us, main_first_us, main_last_us,
     facts)
SELECT incident_id, 'restored', NULL, '', now(), many, many, many, 1767225600000000, many_us, 1767225600000000, many_us,
       '{}'
FROM (SELECT incident_id, many, 1767225600000000 + (many - 1) * 7000000::bigint AS many_us
      FROM (VALUES ('incident-0', %(records)s), ('incident-1', 3700)) AS of_incident (incident_id, many)) AS wanted;

INSERT INTO orchestrator_indexed_records
    (timeline_id, kind, position, at_us, time, phase, severity, rated, what, technique, hosts, accounts, source, target,
     record, terms)
SELECT t.id, CASE WHEN n %% 5 = 0 THEN 'alert' ELSE 'event' END, n, 1767225600000000 + n * 7000000::bigint,
       to_char(timestamptz '2026-01-01' + n * interval '7 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       (ARRAY['initial-access', 'execution', 'persistence', 'credential-access', 'lateral-movement', 'collection',
              'exfiltration', 'impact', ''])[1 + n %% 9],
       n %% 6, '', (ARRAY['process_creation', 'logon', 'share_access', 'beacon'])[1 + n %% 4], 'T1059.001 PowerShell',
       ARRAY['host-' || n %% 40], ARRAY['user-' || n %% 300], 'host-' || n %% 40, 'host-' || n %% 7,
       format('{"alert_type":"process_creation","source":"host-%%s","user":"user-%%s","sha256":"%%s"}', n %% 40, n %% 300,
              pg_temp.digest_of(n::text)),
       format('process:1 creation:2 host:4 %%s:5 user:7 %%s:8 %%s:10', n %% 40, n %% 300 + 1000,
              pg_temp.digest_of(n::text))::tsvector
FROM orchestrator_timelines t CROSS JOIN LATERAL generate_series(0, t.kept - 1) AS n;

UPDATE orchestrator_bundles SET counts = '{"events": 3700, "alerts": {"high": 400, "low": 20}, "artifacts": 58}';

INSERT INTO orchestrator_artifact_records
    (incident_id, id_type, artifact_id, occurrence, name, size, sha256, stored_path, record)
SELECT 'incident-' || n %% %(restored)s, 'string', 'artifact-' || n, 0, 'System-' || n || '.evtx', 1000, pg_temp.digest_of(n::text), '', '{}'
FROM generate_series(1, %(restored)s * 58) AS n;

INSERT INTO orchestrator_custody
    (sequence, at, actor, authenticated_by, address, action, object_type, object_id, incident_id, digest, outcome, details,
     previous_hash, hash)
SELECT n, now() - make_interval(secs => %(custody)s - n), (ARRAY['analyst', 'operator', 'system'])[1 + n %% 3], 'session',
       '127.0.0.1', (ARRAY['bundle.create', 'bundle.published', 'bundle.verified'])[1 + n %% 3], 'bundle',
       gen_random_uuid()::text, 'incident-' || n %% %(incidents)s, '', 'ok', '{}', pg_temp.digest_of((n - 1)::text), pg_temp.digest_of(n::text)
FROM generate_series(1, %(custody)s) AS n;

UPDATE orchestrator_jobs SET payload = '{"bundle_path": "bundle_1.tar.zst", "dry_run": true}', result = jsonb_build_object(
    'incident_id', incident_id, 'dry_run', true, 'signature_checked', true, 'conflicts', '[]'::jsonb, 'conflict_total', 0,
    'plan_digest', pg_temp.digest_of('plan'), 'content_digest', pg_temp.digest_of('c'), 'bundle_sha256', pg_temp.digest_of('f'),
    'plan', '{"alerts": {"new": 5, "equal": 0, "conflict": 0}, "events": {"new": 5, "equal": 0, "conflict": 0},
               "artifacts": {"new": 5, "equal": 0, "conflict": 0}}'::jsonb)
WHERE job_id = (SELECT job_id FROM orchestrator_jobs WHERE job_type = 'rehydrate' AND status = 'completed'
                ORDER BY created_at DESC LIMIT 1);

INSERT INTO orchestrator_workers (worker_id, host, pid, started_at, version, heartbeat_at, state, jobs_done, rss_bytes)
SELECT 'host-' || n / 8 || '/' || n, 'host-' || n / 8, n, now() - interval '3 hours', '1.0.0', now() + interval '1 day',
       'idle', n * 100, 96 << 20 FROM generate_series(1, 32) AS n;
