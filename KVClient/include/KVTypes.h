// The types of KVStore's client, in the global namespace since existing callers compile against
// them. Plain values: copy, move and share them as such.
#ifndef KVCLIENT_KVTYPES_H_
#define KVCLIENT_KVTYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using Token = int64_t;
using hash_t = uint64_t;

// One block of a prompt: 128 tokens and the tensors computed for them.
struct PromptChunk {
  hash_t hash = 0;           // the caller's name for the block
  std::string partitionKey;  // partitions never see each other; typically one a model
  hash_t parentHash = 0;     // hash of the block before it, 0 for a prompt's first
  std::vector<uint8_t> buffer;
  size_t bufferSize = 0;      // bytes of `buffer` that count; 0 means all of them
  std::vector<Token> tokens;  // exactly 128
  std::string completionId;   // names the request in logs
};

// Where a server has a block, from the fastest on.
enum class BlockTier { Unknown, Ram, Disk, Remote };

struct BlockLocation {
  hash_t hash = 0;
  std::string location;  // opaque; hand it to a read

  // What a read of it moves, in bytes, up to a few KiB more; and where it was when it was looked
  // up. 0 and Unknown from servers that do not tell.
  size_t size = 0;
  BlockTier tier = BlockTier::Unknown;
};

// Microseconds. The first three are the server's; the rest are measured by the client.
struct ServerMetrics {
  int64_t storage_latency_us = 0;
  int64_t total_latency_us = 0;
  int64_t overhead_us = 0;    // total - storage
  int64_t client_e2e_us = 0;  // from the call to its answer
  int64_t serialize_us = 0;
  int64_t deserialize_us = 0;
  int64_t network_us = 0;  // e2e - server total - serialize - deserialize
};

struct LookupResult {
  int cachedBlocks = 0;                  // leading blocks of the prompt that are stored
  hash_t lastHash = 0;                   // hash of the last of them, 0 without any
  std::vector<BlockLocation> locations;  // cachedBlocks of them, in the prompt's order
  ServerMetrics server_metrics;
};

enum class LogLevel { Error, Information, Verbose };
enum class HttpTransportProtocol { WinHTTP, LibCurl };

#endif  // KVCLIENT_KVTYPES_H_
