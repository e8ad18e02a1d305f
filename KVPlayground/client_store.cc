#include <utility>

#include "KVCommon/status_macros.h"
#include "KVPlayground/store.h"

namespace kvstore::playground {
namespace {

class ClientStore : public Store {
 public:
  explicit ClientStore(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  absl::StatusOr<LookupAnswer> Lookup(std::string_view partition, std::span<const ::Token> tokens,
                                      const CallOptions& call) override {
    return client_->Lookup(partition, tokens, {}, call);
  }

  std::vector<BlockAnswer> StreamingRead(std::span<const std::string> locations,
                                         std::span<const std::span<std::byte>> memory,
                                         const CallOptions& call) override {
    return client_->StreamingRead(locations, memory, call);
  }

  absl::StatusOr<WriteAnswer> WritePrompt(std::string_view partition,
                                          std::span<const ::Token> tokens, size_t first_block,
                                          std::span<const std::span<const std::byte>> buffers,
                                          const CallOptions& call) override {
    return client_->WritePrompt(partition, tokens, first_block, buffers, call);
  }

  ClientStats Servers() const override { return client_->stats(); }

 private:
  std::shared_ptr<Client> client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> MakeClientStore(ClientOptions options) {
  KV_ASSIGN_OR_RETURN(std::shared_ptr<Client> client, Client::Create(std::move(options)));
  return std::make_unique<ClientStore>(std::move(client));
}

}  // namespace kvstore::playground
