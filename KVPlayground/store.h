// What the playground asks of a store: the blocking calls of kvstore::Client, behind an interface
// so that tests can put a store of their own there.
#ifndef KVPLAYGROUND_STORE_H_
#define KVPLAYGROUND_STORE_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kvstore/client.h"

namespace kvstore::playground {

// Thread-safe. The calls mean what those of kvstore::Client mean.
class Store {
 public:
  virtual ~Store() = default;

  virtual absl::StatusOr<LookupAnswer> Lookup(std::string_view partition,
                                              std::span<const ::Token> tokens,
                                              const CallOptions& call) = 0;
  virtual std::vector<BlockAnswer> StreamingRead(std::span<const std::string> locations,
                                                 std::span<const std::span<std::byte>> memory,
                                                 const CallOptions& call) = 0;
  virtual absl::StatusOr<WriteAnswer> WritePrompt(
      std::string_view partition, std::span<const ::Token> tokens, size_t first_block,
      std::span<const std::span<const std::byte>> buffers, const CallOptions& call) = 0;

  // How the servers fared; none where there are no servers.
  virtual ClientStats Servers() const { return {}; }
};

// The real one. Fails as kvstore::Client::Create does.
absl::StatusOr<std::unique_ptr<Store>> MakeClientStore(ClientOptions options);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_STORE_H_
