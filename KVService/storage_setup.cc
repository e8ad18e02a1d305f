#include "KVService/storage_setup.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "KVCommon/buffer_pool.h"
#include "KVCommon/status_macros.h"
#include "KVService/accounts/environment.h"
#include "KVService/accounts/file_accounts.h"
#include "KVService/accounts/rule_accounts.h"
#include "KVService/defaults.h"
#include "KVService/http/http_transport.h"
#include "KVService/storage/azure/default_credential.h"
#include "KVService/storage_metrics.h"
#include "KVService/store/chunk_identity.h"

namespace kvstore {
namespace {

Durability DurabilityOf(const std::string& name) {
  if (name == "none") return Durability::kNone;
  return name == "each" ? Durability::kEach : Durability::kBatch;
}

// With how little room there is where that may be the reason, which RocksDB's errors bury.
absl::Status WithAdvice(const absl::Status& error, const std::string& directory) {
  constexpr uint64_t kNeeded = uint64_t{16} << 20;  // for what RocksDB writes at each start
  std::error_code none;
  const auto space = std::filesystem::space(directory, none);
  if (none || space.available >= kNeeded) return error;
  return absl::Status(
      error.code(), fmt::format("{}; only {} bytes are free there, and a start needs {} MiB: make "
                                "room. What is stored stays as it is",
                                std::string(error.message()), space.available, kNeeded >> 20));
}

AsyncIo AsyncIoOf(const std::string& name) {
  if (name == "uring") return AsyncIo::kUring;
  return name == "threads" ? AsyncIo::kThreads : AsyncIo::kAuto;
}

ChunkStoreOptions StoreOptions(const ServerOptions& options) {
  ChunkStoreOptions store;
  BufferPool::Global().UseHugePages(options.huge_pages);
  store.memory_bytes = options.memory_bytes.value_or(DefaultMemoryBytes());
  store.max_pending_write_bytes =
      options.pending_write_bytes.value_or(store.max_pending_write_bytes);
  // What is fetched is an answer next.
  if (options.max_answer_bytes) {
    store.max_fetch_bytes = std::min(store.max_fetch_bytes, *options.max_answer_bytes);
  }
  store.prefetch = options.prefetch;
  store.write_back = options.write_back;
  store.max_index_blocks = options.index_blocks.value_or(DefaultIndexBlocks());
  store.bloom_blocks = options.bloom_blocks;
  store.bloom_false_positive_rate = options.bloom_false_positive_rate;
  return store;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StorageSetup>> StorageSetup::Open(const ServerOptions& options,
                                                                 const ThreadPlan& threads) {
  std::unique_ptr<StorageSetup> setup(new StorageSetup);
  KV_RETURN_IF_ERROR(options.azure ? setup->OpenAzure(options, threads)
                                   : setup->OpenLocal(options, threads));
  if (setup->has_disk() && options.scrub_bytes_per_second > 0) {
    setup->local_->StartScrub(setup->Scrub(options.scrub_bytes_per_second));
  }
  KV_RETURN_IF_ERROR(setup->StartRetention(options));
  return setup;
}

absl::Status StorageSetup::StartRetention(const ServerOptions& options) {
  if (options.retention_file.empty()) return absl::OkStatus();
  RetentionOptions retention;
  retention.path = options.retention_file;
  retention.interval = absl::Seconds(options.retention_interval_s);
  retention.dry_run = options.retention_dry_run;
  if (azure_ != nullptr) {
    // Longer than what is removed before it is asked for again takes; short, since a server that
    // dies keeps the others from it for so long.
    constexpr int kLeaseSeconds = 60;
    retention.lease = [this](const Container& container) {
      return azure_->Lease(container.account, container.name, kLeaseSeconds);
    };
  }
  KV_ASSIGN_OR_RETURN(retention_, Retention::Start(std::move(retention), store_.get()));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LocalBlobStore>> StorageSetup::OpenDirectory(
    const ServerOptions& options, const ThreadPlan& threads, const std::string& directory,
    std::optional<uint64_t> capacity) {
  LocalOptions local;
  local.directory = directory;
  local.capacity_bytes = capacity ? *capacity : DefaultCapacityBytes(directory);
  local.durability = DurabilityOf(options.durability);
  local.io = AsyncIoOf(options.io);
  local.write_threads = threads.disk_writes;
  local.read_threads = threads.disk_reads;
  local.may_return = [](const BlobInfo& blob) { return MayReturn(blob.attributes); };
  absl::StatusOr<std::unique_ptr<LocalBlobStore>> opened = LocalBlobStore::Open(std::move(local));
  if (!opened.ok()) return WithAdvice(opened.status(), directory);
  std::unique_ptr<LocalBlobStore> storage = *std::move(opened);
  const RecoveryReport& recovery = storage->recovery();
  spdlog::info(
      "store opened directory={} records={} bytes={} tail_bytes_cut={} dangling_dropped={} "
      "rebuilt={} ms={}",
      directory, recovery.records, recovery.bytes, recovery.tail_bytes_cut,
      recovery.dangling_dropped, recovery.rebuilt, recovery.milliseconds);
  local_ = storage.get();
  return storage;
}

ScrubOptions StorageSetup::Scrub(uint64_t bytes_per_second) {
  ScrubOptions scrub;
  scrub.bytes_per_second = bytes_per_second;
  scrub.damaged = [this](const BlobId& blob) {
    if (tier_ != nullptr) return tier_->DropDamaged(blob);
    store_->RemoveDamaged(blob);
  };
  return scrub;
}

uint64_t StorageSetup::disk_capacity() const {
  return local_ != nullptr ? local_->Usage().capacity_bytes : 0;
}

void StorageSetup::SetDiskCapacity(uint64_t bytes) {
  local_->SetCapacity(bytes);
  if (tier_ == nullptr) store_->FitCapacity();  // a tier makes room when it needs some
}

uint64_t StorageSetup::unshared_blobs() const {
  return tier_ != nullptr ? tier_->stats().pending_blobs : 0;
}

absl::Status StorageSetup::CheckDisk(
    uint64_t bytes_per_second,
    const std::function<bool(const ScrubStats&, uint64_t blobs)>& go_on) {
  if (!has_disk()) return absl::FailedPreconditionError("this server has no disk to check");
  return local_->CheckAll(Scrub(bytes_per_second), [&](const ScrubStats& stats) {
    return go_on(stats, local_->Usage().blobs);
  });
}

absl::Status StorageSetup::OpenLocal(const ServerOptions& options, const ThreadPlan& threads) {
  KV_ASSIGN_OR_RETURN(auto storage,
                      OpenDirectory(options, threads, options.data_dir, options.capacity_bytes));
  KV_ASSIGN_OR_RETURN(store_, ChunkStore::Open(StoreOptions(options), std::move(storage)));
  return absl::OkStatus();
}

absl::Status StorageSetup::OpenAzure(const ServerOptions& options, const ThreadPlan& threads) {
  files_ = std::make_unique<ThreadPool>("kv-tokens", 1, 256);
  HttpClientOptions http;
  http.threads = threads.http;
  http.ca_file = options.ca_file;
  http.multi_nic = options.multi_nic;
  if (options.sdk_logging) {
    http.log = [](const std::string& line) { spdlog::info("http {}", line); };
  }
  http_ = MakeHttpClient(options.transport, std::move(http));
  const Environment environment = ProcessEnvironment();
  credentials_ = std::make_unique<azure::CredentialFactory>(
      azure::TokenContext{http_.get(), files_.get()}, environment);
  if (options.accounts_file.empty()) {
    KV_ASSIGN_OR_RETURN(std::optional<Account> given, azure::AccountOfEnvironment(environment));
    std::vector<Account> accounts;
    if (given) accounts.push_back(*std::move(given));
    KV_ASSIGN_OR_RETURN(accounts_, RuleAccounts::Make(options.blob_suffix, std::move(accounts)));
  } else {
    FileAccountsOptions file;
    file.path = options.accounts_file;
    file.blob_suffix = options.blob_suffix;
    file.environment = environment;
    file.check = [this](const Account& account) { return credentials_->Check(account); };
    KV_ASSIGN_OR_RETURN(accounts_, FileAccounts::Open(std::move(file)));
  }
  places_ = std::make_unique<AccountPlaces>(accounts_.get(), credentials_.get());

  AzureOptions azure;
  azure.shared_log = true;
  auto remote = std::make_unique<AzureBlobStore>(http_.get(), places_.get(), azure);
  azure_ = remote.get();
  std::unique_ptr<SharedBlobStore> storage = std::move(remote);
  if (!options.cache_dir.empty()) {
    KV_ASSIGN_OR_RETURN(auto local, OpenDirectory(options, threads, options.cache_dir,
                                                  options.cache_capacity_bytes));
    TieredOptions tier;
    tier.write_back = options.write_back;
    KV_ASSIGN_OR_RETURN(auto tiered,
                        TieredBlobStore::Open(tier, std::move(local), std::move(storage)));
    tier_ = tiered.get();
    storage = std::move(tiered);
  }
  ChunkStoreOptions store = StoreOptions(options);
  store.account_quota = [this](const Container& container) -> uint64_t {
    const auto account = accounts_->Resolve(container.account, container.name);
    return account.ok() ? (*account)->quota_bytes : 0;
  };
  KV_ASSIGN_OR_RETURN(store_, ChunkStore::OpenShared(std::move(store), std::move(storage)));
  return absl::OkStatus();
}

void StorageSetup::Reload() {
  if (retention_ != nullptr) {
    if (const absl::Status status = retention_->Reload(); !status.ok()) {
      spdlog::error("retention not read, all stays as it was error=\"{}\"",
                    std::string(status.message()));
    }
  }
  if (accounts_ == nullptr) return;
  const absl::Status status = accounts_->Reload();
  if (status.ok()) return spdlog::info("accounts read accounts={}", accounts_->Known().size());
  spdlog::error("accounts not read, all stays as it was error=\"{}\"",
                std::string(status.message()));
}

void StorageSetup::LogStats() const {
  const ChunkStoreStats stats = store_->stats();
  spdlog::info("totals blocks={} evicted={} corrupt={} ram_hits={} ram_misses={}", stats.blocks,
               stats.evicted_chunks, stats.corrupt_chunks, stats.ram.hits, stats.ram.misses);
  if (local_ != nullptr) {
    const ScrubStats scrub = local_->scrub_stats();
    spdlog::info("scrub bytes={} errors={} passes={}", scrub.bytes, scrub.errors, scrub.passes);
  }
  if (azure_ == nullptr) return;
  const azure::BlobLogStats log = azure_->log_stats();
  const azure::PipelineStats http = azure_->http_stats();
  spdlog::info(
      "azure requests={} retries={} throttled={} log_read={} log_appended={} log_dropped={} "
      "log_queued={} compactions={}",
      http.attempts, http.retries, http.throttled, log.records_read, log.records_appended,
      log.records_dropped, log.queued_records, log.compactions);
  spdlog::info(
      "index blocks={} forgotten={} bloom_keys={} bloom_bytes={} bloom_fp_rate={:.6f} probes={} "
      "probes_found={} bloom_probes={} bloom_false_positives={}",
      stats.blocks, stats.forgotten_blocks, stats.bloom.keys, stats.bloom.bytes,
      stats.bloom.false_positive_rate, stats.probes, stats.probes_found, stats.bloom_probes,
      stats.bloom_probes - stats.bloom_probes_found);
  if (tier_ == nullptr) return;
  const TieredStats tier = tier_->stats();
  spdlog::info(
      "disk tier hits={} misses={} bytes={} fills={} evictions={} corrupt={} pending={} "
      "pending_bytes={} uploads={} upload_failures={}",
      tier.local_hits, tier.local_misses, tier.local_bytes, tier.fills, tier.evictions,
      tier.local_corrupt, tier.pending_blobs, tier.pending_bytes, tier.uploads,
      tier.upload_failures);
}

absl::Duration StorageSetup::LogAge() const {
  return azure_ != nullptr ? azure_->log_stats().age : absl::ZeroDuration();
}

MetricFamilies StorageSetup::Metrics() const {
  MetricFamilies all = StoreMetrics(store_->stats());
  const auto add = [&all](MetricFamilies more) {
    std::move(more.begin(), more.end(), std::back_inserter(all));
  };
  if (azure_ != nullptr) {
    add(LogMetrics(azure_->log_stats()));
    add(AzureMetrics(azure_->http_stats()));
  }
  std::optional<LocalQueues> disk;
  std::optional<TieredStats> tier;
  std::optional<HttpClientStats> http;
  if (local_ != nullptr) disk = local_->queues();
  if (tier_ != nullptr) tier = tier_->stats();
  if (http_ != nullptr) http = http_->stats();
  add(QueueMetrics(disk ? &*disk : nullptr, tier ? &*tier : nullptr, http ? &*http : nullptr));
  if (http) add(HttpMetrics(*http));
  if (tier) add(TierMetrics(*tier));
  if (local_ != nullptr) add(ScrubMetrics(local_->scrub_stats()));
  if (retention_ != nullptr) add(RetentionMetrics(retention_->stats()));
  return all;
}

absl::Status StorageSetup::Close() {
  retention_.reset();
  return store_->Close();
}

}  // namespace kvstore
