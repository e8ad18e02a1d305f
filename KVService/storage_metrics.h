// What the store, its tiers and admission count, as metrics.
#ifndef KVSERVICE_STORAGE_METRICS_H_
#define KVSERVICE_STORAGE_METRICS_H_

#include "KVService/admission/admission.h"
#include "KVService/http/http_client.h"
#include "KVService/observe/metrics.h"
#include "KVService/retention/retention.h"
#include "KVService/storage/azure/azure_blob_store.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/storage/tiered/tiered_blob_store.h"
#include "KVService/store/chunk_store.h"

namespace kvstore {

MetricFamilies RetentionMetrics(const RetentionStats& stats);
MetricFamilies StoreMetrics(const ChunkStoreStats& stats);
MetricFamilies AdmissionMetrics(const AdmissionStats& stats);
MetricFamilies LogMetrics(const azure::BlobLogStats& stats);
MetricFamilies AzureMetrics(const azure::PipelineStats& stats);
MetricFamilies ScrubMetrics(const ScrubStats& stats);
// Where work of the storage waits; each may be null, where there is none.
MetricFamilies QueueMetrics(const LocalQueues* disk, const TieredStats* tier,
                            const HttpClientStats* http);
MetricFamilies HttpMetrics(const HttpClientStats& stats);
MetricFamilies TierMetrics(const TieredStats& stats);

}  // namespace kvstore

#endif  // KVSERVICE_STORAGE_METRICS_H_
