// KVStoreServer: flags -> objects -> run.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "KVCommon/tune_process.h"
#include "KVCommon/status_macros.h"
#include "KVService/observe/log.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/options.h"
#include "KVService/platform/file.h"
#include "KVService/platform/machine.h"
#include "KVService/platform/stop_signal.h"
#include "KVService/rpc/server.h"
#include "KVService/storage/local/local_blob_store.h"
#include "KVService/store/chunk_store.h"

namespace kvstore {
namespace {

// Of running calls, once told to stop.
constexpr std::chrono::seconds kShutdownGrace{10};
// For standard output to take the last metrics lines.
constexpr std::chrono::seconds kConsolePatience{2};

Durability DurabilityOf(const std::string& name) {
  if (name == "none") return Durability::kNone;
  return name == "each" ? Durability::kEach : Durability::kBatch;
}

// Most of what the file system could give: what is free and what the store has already.
uint64_t DefaultCapacity(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const std::filesystem::space_info space = std::filesystem::space(directory, error);
  if (error) return 0;  // opening the store will say what is wrong
  return (space.available + AllocatedBytes(directory)) / 10 * 8;
}

absl::StatusOr<std::unique_ptr<ChunkStore>> OpenStore(const ServerOptions& options) {
  LocalOptions local;
  local.directory = options.data_dir;
  local.capacity_bytes = options.capacity_bytes.value_or(DefaultCapacity(options.data_dir));
  local.durability = DurabilityOf(options.durability);
  const size_t processors = std::max(1u, std::thread::hardware_concurrency());
  const size_t threads = options.threads > 0 ? options.threads : std::max<size_t>(4, processors);
  local.write_threads = std::max<size_t>(1, threads / 3);
  local.read_threads = std::max<size_t>(1, threads - local.write_threads);
  KV_ASSIGN_OR_RETURN(std::unique_ptr<LocalBlobStore> storage,
                      LocalBlobStore::Open(std::move(local)));
  const RecoveryReport& recovery = storage->recovery();
  spdlog::info(
      "store opened directory={} records={} bytes={} tail_bytes_cut={} dangling_dropped={} ms={}",
      options.data_dir, recovery.records, recovery.bytes, recovery.tail_bytes_cut,
      recovery.dangling_dropped, recovery.milliseconds);
  ChunkStoreOptions store;
  store.memory_bytes = options.memory_bytes.value_or(TotalMemoryBytes() / 4);
  return ChunkStore::Open(store, std::move(storage));
}

absl::Status Run(const ServerOptions& options) {
  KV_ASSIGN_OR_RETURN(std::unique_ptr<ChunkStore> store, OpenStore(options));
  RpcLog rpc_log(options.metrics);
  KV_ASSIGN_OR_RETURN(std::unique_ptr<RpcServer> server,
                      RpcServer::Start(options.host, options.port, store.get(), &rpc_log));
  const ChunkStoreStats stats = store->stats();
  spdlog::info("serving host={} port={} blocks={} capacity_bytes={} memory_bytes={} durability={}",
               options.host, server->port(), stats.blocks, stats.storage.capacity_bytes,
               stats.ram.capacity_bytes, options.durability);

  const std::string signal = WaitForStopSignal();
  spdlog::info("stopping signal={} grace_s={}", signal, kShutdownGrace.count());
  server->Shutdown(kShutdownGrace);
  const ChunkStoreStats last = store->stats();
  KV_RETURN_IF_ERROR(store->Close());
  const bool drained = rpc_log.Drain(kConsolePatience);
  spdlog::info("stopped blocks={} evicted={} corrupt={} ram_hits={} ram_misses={}", last.blocks,
               last.evicted_chunks, last.corrupt_chunks, last.ram.hits, last.ram.misses);
  if (!drained) {
    spdlog::error("metrics lines dropped, nobody reads the console");
    std::_Exit(0);  // all is stored; only a thread that waits for the console is left
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  kvstore::TuneProcess();
  const kvstore::ParsedCommandLine parsed = kvstore::ParseCommandLine(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<kvstore::ServerOptions>(parsed);
  kvstore::HoldStopSignals();
  kvstore::RaiseOpenFileLimit();
  kvstore::SetUpLog(options.log_level);
  if (const absl::Status status = kvstore::Run(options); !status.ok()) {
    spdlog::error("failed {}", std::string(status.message()));
    return 1;
  }
  return 0;
}
