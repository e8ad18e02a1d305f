// The client in one page: store a block of a prompt, find it, read it back. Needs a server at
// localhost:50051, or where KVSTORE_GRPC_SERVER says.
#include <cstdio>
#include <numeric>

#include "AzureStorageKVStoreLibV2.h"

int main() {
  std::vector<Token> tokens(128);
  std::iota(tokens.begin(), tokens.end(), 1);

  AzureStorageKVStoreLibV2 kvStore;
  if (!kvStore.Initialize("https://account.blob.core.windows.net", "container-name",
                          HttpTransportProtocol::LibCurl)) {
    return 1;
  }

  PromptChunk chunk;
  chunk.hash = 12345;
  chunk.partitionKey = "my-partition";
  chunk.tokens = tokens;
  chunk.buffer.assign(1258291, 42);  // the tensors
  auto writeFuture = kvStore.WriteAsync(chunk);
  writeFuture.get();  // throws KVStoreError where the write failed

  std::vector<hash_t> hashes = {12345};
  auto result =
      kvStore.Lookup("my-partition", "completion-001", tokens.begin(), tokens.end(), hashes);
  if (result.cachedBlocks == 0) {
    std::fprintf(stderr, "the block was not found\n");
    return 1;
  }
  auto readFuture = kvStore.ReadAsync(result.locations[0].location);
  auto [success, read] = readFuture.get();
  if (!success || read.buffer != chunk.buffer || read.tokens != tokens) {
    std::fprintf(stderr, "the block did not come back as it was written\n");
    return 1;
  }
  std::printf("wrote, found and read back %zu bytes\n", read.buffer.size());
  return 0;
}
