#include "KVService/http/curl_http_client.h"

#include <utility>

#include "KVService/http/curl_loop.h"
#include "KVService/http/curl_share.h"
#include "KVService/http/source_addresses.h"

namespace kvstore {

CurlHttpClient::CurlHttpClient(HttpClientOptions options)
    : LoopClient(std::move(options)), share_(std::make_unique<http::CurlShare>()) {
  if (options_.multi_nic) {
    sources_ = std::make_unique<http::SourceAddresses>(options_.list_interfaces);
  }
  MakeLoops([this](const http::CallLoop::Options& loop) {
    auto made = std::make_unique<http::CurlLoop>(loop, share_.get(), sources_.get());
    curl_loops_.push_back(made.get());
    return made;
  });
  if (sources_ != nullptr) {
    sources_->Watch([this] {
      for (http::CurlLoop* loop : curl_loops_) loop->OnSourcesRemoved();
    });
  }
}

CurlHttpClient::~CurlHttpClient() { CurlHttpClient::Shutdown(); }

}  // namespace kvstore
