// KVSTORE_GRPC_SERVER as users write it.
#include "KVClient/src/server_list.h"
#include "KVCommon/status_macros.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto servers =
      kvstore::client::ParseServerList({reinterpret_cast<const char*>(data), size});
  if (servers.ok()) {
    KV_CHECK(!servers->empty() && servers->size() <= kvstore::client::kMaxServers);
    for (const std::string& server : *servers) KV_CHECK(!server.empty());
  } else {
    KV_CHECK(!servers.status().message().empty());
  }
  return 0;
}
