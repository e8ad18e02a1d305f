#include "KVService/storage_metrics.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/time/time.h"

namespace kvstore {

namespace {

// Of the blocks that are not there, the share that the filter let through; 0 before any was asked
// for.
double MeasuredFalsePositives(const ChunkStoreStats& stats) {
  // They are not read in one instant.
  const uint64_t found = std::min(stats.bloom_probes_found, stats.bloom_probes);
  const auto wrong = static_cast<double>(stats.bloom_probes - found);
  const double absent = wrong + static_cast<double>(stats.bloom_denied);
  return absent > 0 ? wrong / absent : 0;
}

MetricFamilies SharedMetrics(const ChunkStoreStats& stats) {
  MetricFamily rate{"kvstore_bloom_false_positive_ratio",
                    "Of the blocks that are not there, the share that the filter lets through: "
                    "expected by the bits that are set, and measured by this server's Lookups.",
                    MetricType::kGauge,
                    {},
                    {}};
  rate.samples = {{{{"kind", "expected"}}, stats.bloom.false_positive_rate},
                  {{{"kind", "measured"}}, MeasuredFalsePositives(stats)}};
  return {
      Counter("kvstore_index_forgotten_blocks_total",
              "Blocks dropped from the index for its bound; they are still stored.",
              stats.forgotten_blocks),
      Counter("kvstore_lookup_probes_total", "Blocks that Lookups asked the storage for.",
              stats.probes),
      Counter("kvstore_lookup_probes_found_total", "Of those, the ones that were there.",
              stats.probes_found),
      Gauge("kvstore_bloom_size_bytes", "Memory of the Bloom filter.", stats.bloom.bytes),
      Gauge("kvstore_bloom_fill_ratio", "Of the Bloom filter's bits, the share that is set.",
            stats.bloom.fill),
      Gauge("kvstore_bloom_layers", "Layers of the Bloom filter; it grows by one at a time.",
            stats.bloom.layers),
      Gauge("kvstore_bloom_inserted_blocks", "Distinct blocks that the Bloom filter was told.",
            stats.bloom.keys),
      Counter("kvstore_bloom_denied_total",
              "Lookups that the Bloom filter ended, without a call to the storage.",
              stats.bloom_denied),
      Counter("kvstore_bloom_probes_total",
              "Blocks that the storage was asked for since the Bloom filter was not sure.",
              stats.bloom_probes),
      Counter("kvstore_bloom_probes_found_total",
              "Of those, the ones that were there; the others were false positives, or deleted.",
              stats.bloom_probes_found),
      std::move(rate),
  };
}

}  // namespace

MetricFamilies AdmissionMetrics(const AdmissionStats& stats) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  return {
      Gauge("kvstore_running_calls", "Calls that run.", number(stats.calls)),
      Gauge("kvstore_upload_bytes", "Requests of Write that are being received, or expected.",
            number(stats.upload_bytes)),
      Gauge("kvstore_waiting_uploads", "Requests of Write that wait to be received.",
            number(stats.waiting_uploads)),
      Gauge("kvstore_answer_bytes", "Answers that clients have not taken yet.",
            number(stats.answer_bytes)),
      Counter("kvstore_refused_calls_total",
              "Calls refused for a limit: of the server, of its sharing, or of a tenant.",
              number(stats.refused)),
      Counter("kvstore_ended_slow_calls_total",
              "Calls ended since their clients were slow with memory that others needed.",
              number(stats.ended)),
  };
}

MetricFamilies RetentionMetrics(const RetentionStats& stats) {
  return {Counter("kvstore_retention_sweeps_total", "Looks at what is to go.", stats.sweeps),
          Counter("kvstore_retention_failed_sweeps_total", "Of those, that met an error.",
                  stats.failures)};
}

MetricFamilies StoreMetrics(const ChunkStoreStats& stats) {
  MetricFamilies all = {
      Gauge("kvstore_index_blocks", "Blocks in the index.", stats.blocks),
      Counter("kvstore_corrupt_chunks_total",
              "Chunks that failed their checksum, answered as misses and removed.",
              stats.corrupt_chunks),
      {"kvstore_evicted_chunks_total",
       "Chunks removed from the storage with nothing wrong with them, by reason: for its capacity, "
       "since they were too old, or since an administrator asked for it.",
       MetricType::kCounter,
       {{{{"reason", "capacity"}}, static_cast<double>(stats.evicted_chunks)},
        {{{"reason", "expired"}}, static_cast<double>(stats.expired_chunks)},
        {{{"reason", "asked"}}, static_cast<double>(stats.removed_chunks)}},
       {}},
      Gauge("kvstore_index_bytes", "Memory of the index, and of the filter beside it.",
            stats.index_bytes),
      Gauge("kvstore_pending_write_bytes", "Bytes of chunks whose write has begun and not ended.",
            stats.pending_write_bytes),
      Gauge("kvstore_ram_blocks", "Blocks in the RAM tier.", stats.ram.blocks),
      Gauge("kvstore_ram_used_bytes", "Bytes that the RAM tier holds.", stats.ram.used_bytes),
      Gauge("kvstore_ram_capacity_bytes", "Bytes that the RAM tier may hold.",
            stats.ram.capacity_bytes),
      Counter("kvstore_ram_hits_total", "Reads that the RAM tier answered.", stats.ram.hits),
      Counter("kvstore_ram_misses_total", "Reads that went to the storage.", stats.ram.misses),
      {"kvstore_ram_evictions_total",
       "Blocks given up by the RAM tier, by reason: for the room of new ones or of what else is in "
       "memory, at once for what was here already, or since its capacity was set.",
       MetricType::kCounter,
       {{{{"reason", "capacity"}}, static_cast<double>(stats.ram.evictions.replaced)},
        {{{"reason", "not_admitted"}}, static_cast<double>(stats.ram.evictions.not_admitted)},
        {{{"reason", "resized"}}, static_cast<double>(stats.ram.evictions.resized)}},
       {}},
      Gauge("kvstore_storage_blobs",
            "Blobs in the storage; where servers share it, of this one's since its start.",
            stats.storage.blobs),
      Gauge("kvstore_storage_used_bytes", "Bytes of those blobs.", stats.storage.used_bytes),
      Gauge("kvstore_storage_capacity_bytes", "Bytes that the storage may hold; 0: no bound.",
            stats.storage.capacity_bytes),
  };
  if (stats.shared) {
    MetricFamilies shared = SharedMetrics(stats);
    std::move(shared.begin(), shared.end(), std::back_inserter(all));
  }
  return all;
}

MetricFamilies LogMetrics(const azure::BlobLogStats& stats) {
  return {
      Gauge("kvstore_log_age_seconds",
            "Time since the last good poll of a followed container's log, of the one that is "
            "furthest behind: how old what is known of other servers may be.",
            absl::ToDoubleSeconds(stats.age)),
      Gauge("kvstore_log_queued_records", "Records that wait to be appended.",
            static_cast<double>(stats.queued_records)),
      Counter("kvstore_log_records_read_total", "Records read, of all servers.",
              stats.records_read),
      Counter("kvstore_log_records_appended_total", "Records appended by this server.",
              stats.records_appended),
      Counter("kvstore_log_records_dropped_total",
              "Records that were never appended, since the log was away for too long.",
              stats.records_dropped),
      Counter("kvstore_log_damaged_bytes_total", "Bytes of logs that make no sense.",
              stats.damaged_bytes),
      Counter("kvstore_log_compactions_total", "Compactions that this server ended well.",
              stats.compactions),
  };
}

MetricFamilies AzureMetrics(const azure::PipelineStats& stats) {
  return {
      Counter("kvstore_azure_requests_total", "HTTP requests sent to Blob Storage, each attempt.",
              stats.attempts),
      Counter("kvstore_azure_retries_total", "Of those, further attempts.", stats.retries),
      Counter("kvstore_azure_throttled_total", "Answers that asked for fewer requests (429, 503).",
              stats.throttled),
      Gauge("kvstore_azure_running_requests", "Requests to Blob Storage that are under way.",
            static_cast<double>(stats.under_way)),
      Gauge("kvstore_azure_waiting_requests",
            "Requests that wait, since as many are under way as may be.",
            static_cast<double>(stats.waiting)),
      Gauge("kvstore_azure_allowed_requests",
            "Requests that may be under way now, of all endpoints together; throttling halves it.",
            stats.limit),
  };
}

MetricFamilies ScrubMetrics(const ScrubStats& stats) {
  return {
      Counter("kvstore_scrub_bytes_total", "Bytes on disk that the scrubber has checked.",
              stats.bytes),
      Counter("kvstore_scrub_errors_total",
              "Records that the scrubber found damaged, or could not read.", stats.errors),
      Counter("kvstore_scrub_passes_total", "Passes of the scrubber over all that is stored.",
              stats.passes),
  };
}

MetricFamilies QueueMetrics(const LocalQueues* disk, const TieredStats* tier,
                            const HttpClientStats* http) {
  MetricFamily waiting{"kvstore_queue_waiting_operations",
                       "Operations that wait for their turn, by queue.",
                       MetricType::kGauge,
                       {},
                       {}};
  MetricFamily running{"kvstore_queue_running_operations",
                       "Operations that are being done, by the queue that they came from.",
                       MetricType::kGauge,
                       {},
                       {}};
  const auto add = [&](const char* queue, const QueueLoad& load) {
    waiting.samples.push_back({{{"queue", queue}}, static_cast<double>(load.waiting)});
    running.samples.push_back({{{"queue", queue}}, static_cast<double>(load.running)});
  };
  if (disk != nullptr) {
    add("disk_read", disk->reads);
    add("disk_device_read", disk->device);
    add("disk_write", disk->writes);
    add("disk_commit", disk->commits);
    add("disk_delete", disk->deletes);
  }
  if (tier != nullptr) {
    const uint64_t running_uploads = std::min(tier->running_uploads, tier->pending_blobs);
    add("upload", {tier->pending_blobs - running_uploads, running_uploads});
  }
  if (http != nullptr) add("http", {http->waiting, http->running});
  return {std::move(waiting), std::move(running)};
}

MetricFamilies HttpMetrics(const HttpClientStats& stats) {
  return {Gauge("kvstore_http_open_connections",
                "Connections of the HTTP client, idle ones and those being made included.",
                static_cast<double>(stats.open_connections)),
          Counter("kvstore_http_opened_connections_total", "Connections that it has made.",
                  static_cast<double>(stats.opened_connections))};
}

MetricFamilies TierMetrics(const TieredStats& stats) {
  return {
      Gauge("kvstore_disk_tier_blobs", "Blobs in the disk tier.",
            static_cast<double>(stats.local_blobs)),
      Gauge("kvstore_disk_tier_used_bytes", "Bytes in the disk tier.", stats.local_bytes),
      Gauge("kvstore_disk_tier_capacity_bytes", "Bytes that the disk tier may hold.",
            stats.local_capacity_bytes),
      Counter("kvstore_disk_tier_hits_total", "Reads that the disk tier answered.",
              stats.local_hits),
      Counter("kvstore_disk_tier_misses_total", "Reads that went on to the remote storage.",
              stats.local_misses),
      Counter("kvstore_disk_tier_corrupt_total", "Copies that failed their checksum.",
              stats.local_corrupt),
      Counter("kvstore_disk_tier_errors_total", "Reads of copies that failed otherwise.",
              stats.local_errors),
      Counter("kvstore_disk_tier_fills_total", "Copies made of what was read.", stats.fills),
      Counter("kvstore_disk_tier_evictions_total", "Copies evicted.", stats.evictions),
      Gauge("kvstore_disk_tier_pending_blobs", "Acknowledged blobs that are not uploaded yet.",
            stats.pending_blobs),
      Gauge("kvstore_disk_tier_pending_bytes", "Bytes of those.", stats.pending_bytes),
      Gauge("kvstore_disk_tier_oldest_pending_age_seconds", "Age of the oldest of those.",
            absl::ToDoubleSeconds(stats.oldest_pending_age)),
      Counter("kvstore_disk_tier_pending_damaged_total",
              "Blobs that were lost: acknowledged, not uploaded, and unreadable.",
              stats.pending_damaged),
      Counter("kvstore_disk_tier_uploads_total", "Uploads that went well.", stats.uploads),
      Counter("kvstore_disk_tier_upload_failures_total", "Attempts to upload that failed.",
              stats.upload_failures),
      Counter("kvstore_disk_tier_write_throughs_total",
              "In write-back mode, puts that went through all the same.", stats.write_throughs),
  };
}

}  // namespace kvstore
