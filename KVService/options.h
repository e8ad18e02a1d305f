// The server's command line and configuration file.
#ifndef KVSERVICE_OPTIONS_H_
#define KVSERVICE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "KVService/observe/shown_options.h"

namespace kvstore {

// A TiB in a day and a half, and no more than a hundredth of what an SSD reads.
inline constexpr uint64_t kDefaultScrubRate = uint64_t{8} << 20;

struct ServerOptions {
  std::string host = "0.0.0.0";
  int port = 50051;
  int threads = 0;  // of all pools together (thread_plan.h); 0: by the number of processors
  std::string log_level = "info";
  std::string log_format = "text";
  std::string transport = "libcurl";
  bool metrics = true;  // a JSON line for every call
  std::string metrics_host = "127.0.0.1";
  int metrics_port = 0;  // 0: no status page and no endpoint for Prometheus
  bool reflection = false;
  bool channelz = false;
  int slow_request_ms = 1000;  // from then on a call is logged; 0: none is
  bool sdk_logging = false;
  bool multi_nic = true;
  std::string data_dir = "kvstore-data";
  std::optional<uint64_t> capacity_bytes;       // none: 80 % of what the file system could give
  std::optional<uint64_t> memory_bytes;         // none: a quarter of the machine's memory
  bool huge_pages = true;                       // for blocks in memory
  std::optional<uint64_t> pending_write_bytes;  // none: what ChunkStoreOptions says
  std::string durability = "batch";
  std::string io = "auto";
  uint64_t scrub_bytes_per_second = kDefaultScrubRate;

  // Who may connect, and what callers may do (docs/SECURITY.md). Empty: not asked for.
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string tls_client_ca_file;
  std::string auth_file;

  // What goes though there is room for it (retention/retention_json.h). Empty: nothing.
  std::string retention_file;
  int retention_interval_s = 60;
  bool retention_dry_run = false;

  // Spans of calls (observe/span_exporter.h). Empty: none.
  std::string otlp_endpoint;   // URL
  double trace_sample = 0.01;  // of traces that begin here

  // For administrators (protos/kvstore_admin.proto). Empty: none.
  std::string admin_address;  // unix:PATH or HOST:PORT
  std::string admin_auth_file;

  // What all clients together may take (admission/limits.h). None: what ServerLimits says.
  std::optional<int64_t> max_calls;
  std::optional<uint64_t> max_upload_bytes;
  std::optional<uint64_t> max_answer_bytes;

  // Of the machine's NUMA nodes:
  bool numa_auto = false;              // one server a node
  std::optional<int> numa_node;        // this server's
  std::optional<int> processor_group;  // of Windows
  std::string numa_sysfs;              // where they are read from

  std::string service;  // install, remove or run; empty: no service of the system

  // Of Azure Blob Storage:
  bool azure = false;
  std::string accounts_file;
  std::string blob_suffix = "blob.core.windows.net";
  std::string ca_file;
  std::string cache_dir;
  std::optional<uint64_t> cache_capacity_bytes;  // none: 80 % of what the file system could give
  bool write_back = false;
  bool prefetch = false;
  uint64_t bloom_blocks = uint64_t{1} << 20;
  double bloom_false_positive_rate = 0.01;
  std::optional<uint64_t> index_blocks;  // none: what an eighth of the machine's memory holds

  std::vector<ShownOption> shown;  // all of them, for the status page; secrets masked
};

// Less holds no block of many models, and no segment.
inline constexpr uint64_t kLeastCapacityBytes = uint64_t{16} << 20;
inline constexpr uint64_t kLeastIndexBlocks = 1024;

// Whether the server keeps blocks on a disk of its own.
inline bool HasDisk(const ServerOptions& options) {
  return !options.azure || !options.cache_dir.empty();
}

// What the program should do: run with these options, or print nothing more and exit with a code.
using ParsedCommandLine = std::variant<ServerOptions, int>;

// The arguments without --service and its value: what a service is installed to run with.
std::vector<std::string> WithoutService(std::vector<std::string> arguments);

// Parses, and prints help, version or what is wrong.
ParsedCommandLine ParseCommandLine(int argc, char** argv);

}  // namespace kvstore

#endif  // KVSERVICE_OPTIONS_H_
