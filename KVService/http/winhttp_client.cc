#include "KVService/http/winhttp_client.h"

#include <memory>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/http/winhttp_loop.h"

namespace kvstore {

WinHttpClient::WinHttpClient(HttpClientOptions options) : LoopClient(std::move(options)) {
  KV_CHECK(options_.ca_file.empty());
  MakeLoops([](const http::CallLoop::Options& loop) {
    return std::make_unique<http::WinHttpLoop>(loop);
  });
}

WinHttpClient::~WinHttpClient() { WinHttpClient::Shutdown(); }

}  // namespace kvstore
