#include "KVService/storage/azure/fault_proxy.h"

#include <atomic>
#include <random>

#include <set>

#include "KVService/http/http_testing.h"
#include "absl/strings/ascii.h"

namespace kvstore::testing {

namespace {

HttpMethod MethodOf(const std::string& name) {
  for (HttpMethod method :
       {HttpMethod::kHead, HttpMethod::kPut, HttpMethod::kPost, HttpMethod::kDelete}) {
    if (name == HttpMethodName(method)) return method;
  }
  return HttpMethod::kGet;
}

// Of one connection, and not to be handed on.
bool HopByHop(const std::string& name) {
  static const std::set<std::string> kNames = {"host",       "content-length",    "connection",
                                               "keep-alive", "transfer-encoding", "accept"};
  return kNames.count(absl::AsciiStrToLower(name)) != 0;
}

// Another each time: only what is damaged where it is stored is so in the same way twice.
void FlipABit(std::string& body) {
  static std::atomic<uint64_t> seed = 0;
  if (body.empty()) return;
  std::mt19937_64 random(seed++);
  const size_t at = random() % body.size();
  body[at] = static_cast<char>(body[at] ^ (1 << random() % 8));
}

}  // namespace

FaultProxy::FaultProxy(const Azurite& azurite, std::function<Fault(const TestRequest&)> choose)
    : origin_(azurite.endpoint().substr(0, azurite.endpoint().rfind('/'))),
      choose_(std::move(choose)),
      client_({}),
      server_([this](const TestRequest& request, TestConnection& connection) {
        Handle(request, connection);
      }) {}

HttpResponse FaultProxy::Forward(const TestRequest& request) {
  HttpRequest forwarded = Request(MethodOf(request.method), origin_ + request.target);
  for (const auto& [name, value] : request.headers) {
    if (!HopByHop(name)) forwarded.headers.push_back({name, value});
  }
  if (!request.body.empty()) forwarded.body = {Slice::CopyOf(AsBytes(request.body))};
  const auto response = SendNow(client_, std::move(forwarded));
  EXPECT_TRUE(response.ok()) << response.status();
  return response.ok() ? *response : HttpResponse();
}

void FaultProxy::Handle(TestRequest request, TestConnection& connection) {
  const Fault fault = choose_(request);
  switch (fault) {
    case Fault::kResetBefore:
      return connection.Reset();
    case Fault::kBusy:
      return connection.Reply(503, "", "x-ms-error-code: ServerBusy\r\n");
    case Fault::kThrottle:
      return connection.Reply(429, "", "Retry-After: 0\r\n");
    case Fault::kStall:
      return connection.WaitForPeerToClose();
    case Fault::kCorruptRequest:
      FlipABit(request.body);
      break;
    default:
      break;
  }
  const HttpResponse response = Forward(request);
  if (fault == Fault::kLoseAnswer) return connection.Reset();
  if (fault == Fault::kFail) return connection.Reply(500, "");
  std::string body = Body(response);
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " Proxied\r\n";
  for (const HttpHeader& header : response.headers) {
    if (!HopByHop(header.name)) head += header.name + ": " + header.value + "\r\n";
  }
  const std::string* length = response.Find("Content-Length");
  const bool is_head = request.method == "HEAD" && length != nullptr;
  head += "Content-Length: " + (is_head ? *length : std::to_string(body.size())) + "\r\n\r\n";
  if (fault == Fault::kCorruptAnswer) FlipABit(body);
  if (fault == Fault::kTruncateAnswer) {
    connection.Send((head + body).substr(0, head.size() + body.size() / 2));
    return connection.Close();
  }
  connection.Send(head + body);
}

}  // namespace kvstore::testing
