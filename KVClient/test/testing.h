// What the client's tests share.
#ifndef KVCLIENT_TEST_TESTING_H_
#define KVCLIENT_TEST_TESTING_H_

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/test/fake_server.h"
#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"

namespace kvstore {

// ThreadSanitizer looks at every word that gRPC, which it cannot follow, hands from thread to
// thread.
#ifdef __SANITIZE_THREAD__
inline constexpr size_t kTypicalBlock = 3'000, kLargeBlock = 30'000, kLargestBlock = 60'000;
inline constexpr int kManyLocations = 300, kManyCalls = 30;
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr int kManyLocations = 10'000, kManyCalls = 300;
inline constexpr bool kThreadSanitizer = false;
inline constexpr size_t kTypicalBlock = 1'258'291, kLargeBlock = 4'000'000,
                        kLargestBlock = kMaxBufferBytes;
#endif

inline std::vector<Token> TestTokens(size_t blocks, Token first = 1) {
  std::vector<Token> tokens(blocks * kTokensPerBlock);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

inline std::vector<std::byte> TestBytes(size_t size, size_t seed) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + seed + (i >> 11));
  return bytes;
}

inline std::shared_ptr<Client> TestClient(const std::string& servers) {
  auto client = Client::Create({.servers = servers,
                                .resource = "https://acct.blob.core.windows.net",
                                .container = "models",
                                .timeout = std::chrono::seconds(60)});
  KV_CHECK(client.ok());
  return *std::move(client);
}

// A prompt's worth of blocks: bytes and the spans that WritePrompt takes.
struct TestBlocks {
  explicit TestBlocks(size_t count, size_t size = 5000) {
    for (size_t i = 0; i < count; ++i) bytes.push_back(TestBytes(size + i, i));
    spans.assign(bytes.begin(), bytes.end());
  }
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::span<const std::byte>> spans;
};

// Memory for reads.
struct TestRoom {
  TestRoom(size_t count, size_t size) : bytes(count, std::vector<std::byte>(size)) {
    spans.assign(bytes.begin(), bytes.end());
  }
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::span<std::byte>> spans;
};

inline std::vector<std::string> LocationsOf(const LookupAnswer& answer) {
  std::vector<std::string> names;
  for (const ::BlockLocation& location : answer.locations) names.push_back(location.location);
  return names;
}

}  // namespace kvstore

#endif  // KVCLIENT_TEST_TESTING_H_
