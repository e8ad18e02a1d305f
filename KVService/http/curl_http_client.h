// The HttpClient on libcurl's multi interface.
//
// A few threads own one CURLM each (curl_loop.h) and share DNS results and TLS sessions. Callers
// put work into a thread's inbox and wake it; all else happens on that thread, so that nothing of
// curl needs a lock of ours.
#ifndef KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_
#define KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_

#include <memory>
#include <vector>

#include "KVService/http/loop_client.h"

namespace kvstore {

namespace http {
class CurlLoop;
class CurlShare;
class SourceAddresses;
}  // namespace http

class CurlHttpClient : public http::LoopClient {
 public:
  // REQUIRES: threads, max_connections and max_pending are at least 1.
  explicit CurlHttpClient(HttpClientOptions options);
  ~CurlHttpClient() override;  // as Shutdown

 private:
  const std::unique_ptr<http::CurlShare> share_;
  std::vector<http::CurlLoop*> curl_loops_;         // LoopClient's own
  std::unique_ptr<http::SourceAddresses> sources_;  // they and it use each other until Shutdown
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_
