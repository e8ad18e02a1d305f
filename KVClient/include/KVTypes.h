// The types of KVStore's client, in the global namespace since existing callers compile against
// them. Plain values: copy, move and share them as such.
#ifndef KVCLIENT_KVTYPES_H_
#define KVCLIENT_KVTYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using Token = int64_t;    // a tokenizer's number for a piece of text
using hash_t = uint64_t;  // a caller's name for a block; 0 is none

// One block of a prompt: 128 tokens and the tensors computed for them.
struct PromptChunk {
  hash_t hash = 0;              // the caller's name for the block
  std::string partitionKey;     // partitions never see each other; typically one a model
  hash_t parentHash = 0;        // hash of the block before it, 0 for a prompt's first
  std::vector<uint8_t> buffer;  // the tensors, opaque
  size_t bufferSize = 0;        // bytes of `buffer` that count; 0 means all of them
  std::vector<Token> tokens;    // exactly 128
  std::string completionId;     // names the request in logs
};

// Where a server has a block, from the fastest on.
enum class BlockTier { Unknown, Ram, Disk, Remote };

// A block that a Lookup found, and how to read it.
struct BlockLocation {
  hash_t hash = 0;       // as its writer gave it
  std::string location;  // opaque; hand it to a read

  // What a read of it moves, in bytes, up to a few KiB more. 0 from servers that do not tell.
  size_t size = 0;
  // Where it was when it was looked up. Unknown from servers that do not tell.
  BlockTier tier = BlockTier::Unknown;
};

// Microseconds. The first three are the server's; the rest are measured by the client.
struct ServerMetrics {
  int64_t storage_latency_us = 0;  // reading or writing what is stored
  int64_t total_latency_us = 0;    // from the request to the answer
  int64_t overhead_us = 0;         // total - storage
  int64_t client_e2e_us = 0;       // from the call to its answer
  int64_t serialize_us = 0;        // making the request's bytes
  int64_t deserialize_us = 0;      // taking the answer's apart
  int64_t network_us = 0;          // e2e - server total - serialize - deserialize
};

// What Lookup gives.
struct LookupResult {
  int cachedBlocks = 0;                  // leading blocks of the prompt that are stored
  hash_t lastHash = 0;                   // hash of the last of them, 0 without any
  std::vector<BlockLocation> locations;  // cachedBlocks of them, in the prompt's order
  ServerMetrics server_metrics;          // of this call
};

// The least important lines that are wanted.
enum class LogLevel { Error, Information, Verbose };
// How a server speaks HTTP to a storage account. Of no effect in the client.
enum class HttpTransportProtocol { WinHTTP, LibCurl };

#endif  // KVCLIENT_KVTYPES_H_
