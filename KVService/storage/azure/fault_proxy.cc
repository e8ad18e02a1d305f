#include "KVService/storage/azure/fault_proxy.h"

#include <atomic>
#include <random>
#include <set>

#include "KVService/http/http_testing.h"
#include "KVService/http/test_dns.h"
#include "absl/strings/ascii.h"
#include "absl/time/clock.h"

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
      server_([this](const TestRequest& request,
                     TestConnection& connection) { Handle(request, connection); },
              TestServer::Give::kHead) {}

std::string FaultProxy::endpoint() const {
  return "http://proxy" + std::string(kTestDomain) + ":" + std::to_string(server_.port()) + "/" +
         kAzuriteAccount;
}

HttpClientOptions FaultProxy::ClientOptions() {
  HttpClientOptions options;
  options.dns_cache = absl::ZeroDuration();
  options.multi_nic = false;  // the name is not seen to be this machine's
  return options;
}

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

bool FaultProxy::FailBefore(Fault fault, TestRequest& request, TestConnection& connection) {
  if (fault == Fault::kResetInRequest) {
    connection.ReadBody(request, 0.5);
    connection.Reset();
    return true;
  }
  connection.ReadBody(request);
  if (!connection.open()) return true;  // the client gave up
  switch (fault) {
    case Fault::kDropDns:
      SetDns(Dns::kFails, kDnsDrop);
      connection.Reset();
      return true;
    case Fault::kResetBefore:
      connection.Reset();
      return true;
    case Fault::kBusy:
      connection.Reply(503, "", "x-ms-error-code: ServerBusy\r\n");
      return true;
    case Fault::kThrottle:
      connection.Reply(429, "", "Retry-After: 0\r\n");
      return true;
    case Fault::kStall:
      connection.WaitForPeerToClose();
      return true;
    default:
      return false;
  }
}

void FaultProxy::Handle(TestRequest request, TestConnection& connection) {
  const Fault fault = choose_(request);
  if (FailBefore(fault, request, connection)) return;
  if (fault == Fault::kCorruptRequest) FlipABit(request.body);
  if (fault == Fault::kDelay) absl::SleepFor(kFaultDelay);
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
