// For each alert what makes it fire, and what looks like it and must not: series and their values, in promtool's notation, one value a minute.
// `at` is when it is looked, in minutes; 40 unless told.
const STEADY = '0x80';
const ON = '1x80';

export const ALERTS = {
  SluiceDown: { fires: { 'up{job="sluice",instance="a"}': '1x30 0x50' }, quiet: { 'up{job="sluice",instance="a"}': '1x38 0 1x40' } },
  SluiceRedisDown: { fires: { 'sluice_redis_up{instance="a"}': '1 0x80' }, quiet: { 'sluice_redis_up{instance="a"}': STEADY, 'sluice_redis_up{instance="b"}': ON } },
  SluiceRedisUnreachable: {
    fires: { 'sluice_redis_up{instance="a"}': STEADY, 'sluice_redis_up{instance="b"}': ON },
    quiet: { 'sluice_redis_up{instance="a"}': STEADY, 'sluice_redis_up{instance="b"}': STEADY },
  },
  SluiceRedisMemory: {
    fires: { 'sluice_redis_memory_bytes{kind="used"}': '86x80', 'sluice_redis_memory_bytes{kind="max"}': '100x80' },
    quiet: { 'sluice_redis_memory_bytes{kind="used"}': '86x80', 'sluice_redis_memory_bytes{kind="max"}': STEADY }, // no limit is set
  },
  SluiceRedisEvicts: {
    fires: { sluice_redis_eviction_policy_ok: STEADY, sluice_redis_up: ON },
    quiet: { sluice_redis_eviction_policy_ok: STEADY, sluice_redis_up: STEADY }, // it is not known while Redis is away
  },
  SluiceRedisDataLost: { fires: { sluice_redis_data_lost_total: '0x20 1x60' }, quiet: { sluice_redis_data_lost_total: ON } },
  SluiceQueueLatencyHigh: {
    fires: { 'sluice_queue_latency_seconds{queue="q"}': '301x80', 'sluice_queue_paused{queue="q"}': STEADY },
    quiet: { 'sluice_queue_latency_seconds{queue="q"}': '301x80', 'sluice_queue_paused{queue="q"}': ON },
  },
  SluiceBacklogGrowing: {
    at: 80,
    fires: { 'sluice_jobs{queue="q",state="waiting"}': '1000+50x80' },
    quiet: { 'sluice_jobs{queue="q",state="waiting"}': '9000-50x80' },
  },
  SluiceBacklogNoWorkers: {
    fires: { 'sluice_jobs{queue="q",state="waiting"}': '3x80', 'sluice_queue_workers{queue="q"}': STEADY, 'sluice_queue_paused{queue="q"}': STEADY,
      'sluice_jobs_finished_total{queue="q",outcome="completed"}': '7x80' },
    quiet: { 'sluice_jobs{queue="q",state="waiting"}': '3x80', 'sluice_queue_workers{queue="q"}': STEADY, 'sluice_queue_paused{queue="q"}': STEADY,
      'sluice_jobs_finished_total{queue="q",outcome="completed"}': '7+5x80' }, // workers over HTTP announce themselves to nobody
  },
  SluicePausedLong: {
    at: 400,
    fires: { 'sluice_queue_paused{queue="q"}': '1x400', 'sluice_jobs{queue="q",state="waiting"}': '2x400' },
    quiet: { 'sluice_queue_paused{queue="q"}': '1x400', 'sluice_jobs{queue="q",state="waiting"}': '0x400' },
  },
  SluicePromoterLag: {
    fires: { 'sluice_queue_delayed_overdue_seconds{queue="q"}': '61x80' }, quiet: { 'sluice_queue_delayed_overdue_seconds{queue="q"}': '1x80' },
  },
  SluiceFailureRatioHigh: {
    fires: { 'sluice_jobs_finished_total{queue="q",outcome="failed"}': '0+20x80', 'sluice_jobs_finished_total{queue="q",outcome="completed"}': '0+80x80' },
    quiet: { 'sluice_jobs_finished_total{queue="q",outcome="failed"}': '0+1x80', 'sluice_jobs_finished_total{queue="q",outcome="completed"}': '0+1x80' }, // too few
  },
  SluiceFailedSetGrowing: {
    at: 70,
    fires: { 'sluice_jobs{queue="q",state="failed"}': '0+3x80' }, quiet: { 'sluice_jobs{queue="q",state="failed"}': '500+1x80' },
  },
  SluiceStalledJobs: {
    fires: { 'sluice_stalled_jobs_total{queue="q"}': '0+1x80' }, quiet: { 'sluice_stalled_jobs_total{queue="q"}': '90x80' },
  },
  SluiceLocksNotRenewed: {
    fires: { 'sluice_lock_renew_failures_total{queue="q"}': '0+1x80' }, quiet: { 'sluice_lock_renew_failures_total{queue="q"}': '90x80' },
  },
  SluiceProcessorsSaturated: {
    fires: { 'sluice_processor_slots{processor="p",state="busy"}': '8x80', 'sluice_processor_slots{processor="p",state="max"}': '8x80' },
    quiet: { 'sluice_processor_slots{processor="p",state="busy"}': '7x80', 'sluice_processor_slots{processor="p",state="max"}': '8x80' },
  },
  SluiceProcessorUnavailable: {
    fires: { 'sluice_processor_available{processor="document",instance="a"}': STEADY, 'sluice_processor_available{processor="document",instance="b"}': ON },
    quiet: { 'sluice_processor_available{processor="document",instance="a"}': ON },
  },
  SluiceWebhookFailing: {
    at: 60,
    fires: { 'sluice_webhook_deliveries_total{queue="q",outcome="2xx"}': '0+1x80', 'sluice_webhook_deliveries_total{queue="q",outcome="5xx"}': '0+3x80' },
    quiet: { 'sluice_webhook_deliveries_total{queue="q",outcome="2xx"}': '0+3x80', 'sluice_webhook_deliveries_total{queue="q",outcome="5xx"}': '0+1x80' },
  },
  SluiceScheduleMissed: {
    fires: { 'sluice_schedule_missed_total{queue="q",schedule="s"}': '0x20 2x60' }, quiet: { 'sluice_schedule_missed_total{queue="q",schedule="s"}': '2x80' },
  },
  SluiceHttp5xx: {
    fires: { 'sluice_http_requests_total{code="503"}': '0+3x80', 'sluice_http_requests_total{code="200"}': '0+97x80' },
    quiet: { 'sluice_http_requests_total{code="404"}': '0+50x80', 'sluice_http_requests_total{code="200"}': '0+50x80', 'sluice_http_requests_total{code="503"}': '0+1x80' },
  },
  SluiceThreadsSaturated: {
    fires: { 'sluice_http_threads{state="busy"}': '95x80', 'sluice_http_threads{state="max"}': '100x80' },
    quiet: { 'sluice_http_threads{state="busy"}': '90x80', 'sluice_http_threads{state="max"}': '100x80' },
  },
  SluiceDescriptorsRunOut: {
    fires: { 'process_open_fds{job="sluice"}': '90x80', 'process_max_fds{job="sluice"}': '100x80' },
    quiet: { 'process_open_fds{job="other"}': '90x80', 'process_max_fds{job="other"}': '100x80' },
  },
  SluiceReloadFailed: { fires: { sluice_config_last_reload_successful: STEADY }, quiet: { sluice_config_last_reload_successful: '1x38 0 1x40' } },
  SluicePostgresDown: {
    fires: { sluice_pg_up: STEADY, 'sluice_pg_connects_total{result="failed"}': '0+1x80' },
    quiet: { sluice_pg_up: STEADY }, // no records are kept
  },
  SluiceRecordsLag: { fires: { 'sluice_records_lag_seconds{queue="q"}': '301x80' }, quiet: { 'sluice_records_lag_seconds{queue="q"}': '5x80' } },
  SluiceRecordsDropped: { fires: { 'sluice_records_dropped_total{queue="q"}': '0+1x80' }, quiet: { 'sluice_records_dropped_total{queue="q"}': '9x80' } },
  SluiceAuditLost: { fires: { sluice_audit_lost_total: '0+1x80' }, quiet: { sluice_audit_lost_total: '9x80' } },
  SluiceAuditMissing: { fires: { 'sluice_audit_missing_total{route="r"}': ON }, quiet: { 'sluice_audit_missing_total{route="r"}': STEADY } },
  SluiceLogDropped: { fires: { sluice_log_dropped_total: '0+1x80' }, quiet: { sluice_log_dropped_total: '9x80' } },
};
