// A proxy between a store and Azurite that fails as it is told.
#ifndef KVSERVICE_STORAGE_AZURE_FAULT_PROXY_H_
#define KVSERVICE_STORAGE_AZURE_FAULT_PROXY_H_

#include <functional>
#include <string>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/test_server.h"
#include "KVService/storage/azure/azurite.h"
#include "absl/time/time.h"

namespace kvstore::testing {

enum class Fault {
  kNone,
  kDelay,           // the right answer, kFaultDelay late
  kResetBefore,     // the connection breaks, the service has seen nothing
  kResetInRequest,  // likewise, once half of the request's body has come
  kLoseAnswer,      // the service has acted, and the connection breaks before its answer
  kTruncateAnswer,  // it breaks in the answer's body
  kCorruptAnswer,   // a bit of the answer's body is wrong
  kCorruptRequest,  // a bit of the request's body is wrong
  kBusy,            // 503, at once
  kThrottle,        // 429 with a Retry-After of 0 seconds
  kFail,            // 500 after the service has acted
  kDropDns,         // kResetBefore, and for kDnsDrop the proxy's name does not resolve
  kStall,           // no answer until the client gives up
};

inline constexpr absl::Duration kFaultDelay = absl::Milliseconds(200);
inline constexpr absl::Duration kDnsDrop = absl::Milliseconds(200);

// Reached by name (http/test_dns.h). Asks `choose` once a request, on any thread and before the
// request's body is read.
class FaultProxy {
 public:
  FaultProxy(const Azurite& azurite, std::function<Fault(const TestRequest&)> choose);

  std::string endpoint() const;
  // Of a client that asks for the name with each connection.
  static HttpClientOptions ClientOptions();
  int requests() const { return server_.requests(); }

 private:
  // Whether the fault has answered the request.
  bool FailBefore(Fault fault, TestRequest& request, TestConnection& connection);
  void Handle(TestRequest request, TestConnection& connection);
  HttpResponse Forward(const TestRequest& request);

  const std::string origin_;  // scheme, host and port of Azurite
  const std::function<Fault(const TestRequest&)> choose_;
  CurlHttpClient client_;
  TestServer server_;
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_AZURE_FAULT_PROXY_H_
