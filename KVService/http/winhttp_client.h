// The HttpClient on WinHTTP, Windows' own: it trusts what the machine's administrators trust. A few
// threads own one session each (winhttp_loop.h).
//
// Of the options, dns_cache, max_idle and multi_nic are not kept to: WinHTTP and the system decide.
// Nor do stats() tell of connections, of which WinHTTP says nothing.
#ifndef KVSERVICE_HTTP_WINHTTP_CLIENT_H_
#define KVSERVICE_HTTP_WINHTTP_CLIENT_H_

#include "KVService/http/loop_client.h"

namespace kvstore {

class WinHttpClient : public http::LoopClient {
 public:
  // REQUIRES: threads, max_connections and max_pending are at least 1; no ca_file, for which
  // WinHTTP has no way.
  explicit WinHttpClient(HttpClientOptions options);
  ~WinHttpClient() override;  // as Shutdown
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_WINHTTP_CLIENT_H_
