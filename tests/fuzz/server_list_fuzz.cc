// KVSTORE_GRPC_SERVER as users write it, and the keys of a location.
#include "KVClient/src/routing.h"
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
  // Locations are as foreign: whatever they say, keys come out, and the same each time.
  const auto keys = kvstore::client::KeysOf({reinterpret_cast<const char*>(data), size});
  const auto again = kvstore::client::KeysOf({reinterpret_cast<const char*>(data), size});
  KV_CHECK(keys.chunk == again.chunk && keys.partition == again.partition);
  return 0;
}
