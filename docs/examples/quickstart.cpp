// The smallest program with KVStore's client: write a block, find it, read it back. The server is
// localhost:50051, or where KVSTORE_GRPC_SERVER says.
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "AzureStorageKVStoreLibV2.h"

int main() {
  std::vector<Token> tokens(128);
  std::iota(tokens.begin(), tokens.end(), 1);
  bool intact = false;

  AzureStorageKVStoreLibV2 kvStore;
  kvStore.Initialize("https://account.blob.core.windows.net", "container-name",
                     HttpTransportProtocol::LibCurl);  // transport ignored by the gRPC client
  PromptChunk chunk;
  chunk.hash = 12345;
  chunk.partitionKey = "my-partition";
  chunk.tokens = tokens;
  chunk.buffer.assign(1258291, 42);  // the tensors
  auto writeFuture = kvStore.WriteAsync(chunk);
  writeFuture.wait();  // get() would throw KVStoreError, had the write failed
  std::vector<hash_t> hashes = {12345};
  auto result =
      kvStore.Lookup("my-partition", "completion-001", tokens.begin(), tokens.end(), hashes);
  if (result.cachedBlocks > 0) {
    const std::vector<uint8_t> written = chunk.buffer;
    auto readFuture = kvStore.ReadAsync(result.locations[0].location);
    auto [success, chunk] = readFuture.get();  // std::pair<bool, PromptChunk>
    intact = success && chunk.buffer == written && chunk.tokens == tokens;
  }

  std::printf(intact ? "wrote a block, found it and read it back\n"
                     : "the block did not come back as it was written\n");
  return intact ? 0 : 1;
}
