#include "KVService/http/http_transport.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>

#include "KVService/http/http_testing.h"
#include "KVService/http/test_server.h"

namespace kvstore::testing {
namespace {

class HttpClientTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Transports, HttpClientTest, ::testing::ValuesIn(HttpTransports()),
                         [](const auto& info) { return info.param; });

HttpClientOptions OneThread() {
  HttpClientOptions options;
  options.threads = 1;
  return options;
}

TestServer::Handler Echo() {
  return [](const TestRequest& request, TestConnection& connection) {
    connection.Reply(200, request.body, "X-Method: " + request.method + "\r\n");
  };
}

TEST_P(HttpClientTest, GetsABodyOfKnownLength) {
  const std::string body = Pattern(1258291);
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    EXPECT_EQ(request.target, "/a//b/../c%20d?x=1&y=%2F");
    connection.Reply(200, body, "x-odd-Name:  some value \r\n");
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto response =
      SendNow(*client, Request(HttpMethod::kGet, server.Url("/a//b/../c%20d?x=1&y=%2F")));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(Body(*response), body);
  EXPECT_EQ(response->sends, 1);
  ASSERT_NE(response->Find("X-ODD-NAME"), nullptr);
  EXPECT_EQ(*response->Find("X-ODD-NAME"), "some value");
  EXPECT_EQ(response->Find("absent"), nullptr);
}

TEST_P(HttpClientTest, GetsABodyOfUnknownLength) {
  const std::string body = Pattern(300000);
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < body.size(); i += 100000) {
      connection.Send("186a0\r\n" + body.substr(i, 100000) + "\r\n");
    }
    connection.Send("0\r\n\r\n");
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto response = SendNow(*client, Request(HttpMethod::kGet, server.Url()));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(Body(*response), body);
}

TEST_P(HttpClientTest, SendsABodyOfManySlices) {
  TestServer server(Echo());
  const auto client = MakeHttpClient(GetParam(), {});
  const std::string body = Pattern(2000000);
  std::vector<Slice> slices = {Slice()};
  for (size_t at = 0, size = 1; at < body.size(); at += size, size = size * 3 + 1) {
    size = std::min(size, body.size() - at);
    slices.push_back(Slice::CopyOf(AsBytes(std::string_view(body).substr(at, size))));
    slices.push_back(Slice());
  }
  for (HttpMethod method : {HttpMethod::kPut, HttpMethod::kPost}) {
    const auto response = SendNow(*client, Request(method, server.Url(), slices));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(*response->Find("X-Method"), HttpMethodName(method));
    EXPECT_EQ(Body(*response), body);
  }
}

TEST_P(HttpClientTest, SendsMethodsWithoutABody) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    const bool writes = request.method == "PUT" || request.method == "POST";
    EXPECT_EQ(request.headers.count("content-length"), writes ? 1 : 0) << request.method;
    EXPECT_EQ(request.headers.count("expect"), 0);
    EXPECT_EQ(request.headers.count("transfer-encoding"), 0);
    if (request.method == "HEAD") {
      return connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    }
    connection.Reply(202, request.method);
  });
  const auto client = MakeHttpClient(GetParam(), OneThread());
  for (HttpMethod method : {HttpMethod::kGet, HttpMethod::kHead, HttpMethod::kPut,
                            HttpMethod::kPost, HttpMethod::kDelete, HttpMethod::kGet}) {
    const auto response = SendNow(*client, Request(method, server.Url()));
    ASSERT_TRUE(response.ok()) << HttpMethodName(method) << response.status();
    if (method == HttpMethod::kHead) {
      EXPECT_EQ(*response->Find("content-length"), "12345");
      EXPECT_TRUE(response->body.empty());
    } else {
      EXPECT_EQ(Body(*response), HttpMethodName(method));
    }
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_P(HttpClientTest, SendsHeadersAsGiven) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    EXPECT_EQ(request.headers.at("x-a"), "1, 2;3");
    EXPECT_EQ(request.headers.at("x-empty"), "");
    connection.Reply(200, "");
  });
  const auto client = MakeHttpClient(GetParam(), {});
  HttpRequest request = Request(HttpMethod::kGet, server.Url());
  request.headers = {{"X-A", "1, 2;3"}, {"x-empty", ""}};
  EXPECT_TRUE(SendNow(*client, request).ok());
  request.headers = {{"x-a", "1\r\nx-b: 2"}};
  EXPECT_TRUE(absl::IsInvalidArgument(SendNow(*client, request).status()));
  request.headers = {{"x a", "1"}};
  EXPECT_TRUE(absl::IsInvalidArgument(SendNow(*client, request).status()));
}

TEST_P(HttpClientTest, AnErrorStatusIsAnExchangeThatSucceeded) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    connection.Reply(std::stoi(request.target.substr(1)), "why");
  });
  const auto client = MakeHttpClient(GetParam(), {});
  for (int status : {301, 400, 404, 409, 429, 500, 503}) {
    const auto response =
        SendNow(*client, Request(HttpMethod::kGet, server.Url("/" + std::to_string(status))));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->status, status);
    EXPECT_EQ(Body(*response), "why");
  }
}

TEST_P(HttpClientTest, ReusesItsConnections) {
  TestServer server(Echo());
  const auto client = MakeHttpClient(GetParam(), OneThread());
  for (int i = 0; i < 30; ++i) {
    const std::string body = Pattern(i * 1000);
    const auto response =
        SendNow(*client, Request(HttpMethod::kPut, server.Url(), {Slice::CopyOf(AsBytes(body))}));
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(Body(*response), body);
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_P(HttpClientTest, TellsWhatRunsAndWhatWaits) {
  Gate gate;
  TestServer server(gate.handler());
  HttpClientOptions options = OneThread();
  options.max_connections = 2;
  const auto client = MakeHttpClient(GetParam(), options);
  std::vector<std::future<absl::StatusOr<HttpResponse>>> responses;
  for (int i = 0; i < 5; ++i) {
    responses.push_back(SendAsync(*client, Request(HttpMethod::kGet, server.Url())));
  }
  while (client->stats().running < 2 || client->stats().waiting < 3) std::this_thread::yield();
  EXPECT_EQ(client->stats().running, 2u);
  EXPECT_EQ(client->stats().waiting, 3u);
  gate.Open();
  for (auto& response : responses) EXPECT_TRUE(response.get().ok());
  EXPECT_EQ(client->stats().running, 0u);
  EXPECT_EQ(client->stats().waiting, 0u);
}

TEST_P(HttpClientTest, UsesTheProxyItIsGivenAndNoOther) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    connection.Reply(200, request.target);
  });
  SetEnvironment("http_proxy", "http://127.0.0.1:1");
  const auto direct = MakeHttpClient(GetParam(), {});
  const auto response = SendNow(*direct, Request(HttpMethod::kGet, server.Url("/x")));
  SetEnvironment("http_proxy", nullptr);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(Body(*response), "/x");
  HttpClientOptions options;
  options.proxy = server.Url("");
  const auto proxied = MakeHttpClient(GetParam(), options);
  const auto through = SendNow(*proxied, Request(HttpMethod::kGet, "http://host.invalid:8080/y"));
  ASSERT_TRUE(through.ok()) << through.status();
  EXPECT_EQ(Body(*through), "http://host.invalid:8080/y");
  HttpRequest past = Request(HttpMethod::kGet, server.Url("/z"));
  past.direct = true;
  const auto around = SendNow(*proxied, std::move(past));
  ASSERT_TRUE(around.ok()) << around.status();
  EXPECT_EQ(Body(*around), "/z");
}

TEST_P(HttpClientTest, HundredsAtOnceStayWithinTheConnectionLimit) {
  TestServer server(Echo());
  HttpClientOptions options;
  options.threads = 3;
  options.max_connections = 8;
  const auto client = MakeHttpClient(GetParam(), options);
  constexpr int kThreads = 4, kEach = 150;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::future<absl::StatusOr<HttpResponse>>> responses;
      for (int i = 0; i < kEach; ++i) {
        const std::string body = std::to_string(t) + "/" + std::to_string(i);
        responses.push_back(SendAsync(
            *client, Request(HttpMethod::kPut, server.Url(), {Slice::CopyOf(AsBytes(body))})));
      }
      for (int i = 0; i < kEach; ++i) {
        const auto response = responses[i].get();
        if (!response.ok() || Body(*response) != std::to_string(t) + "/" + std::to_string(i)) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(server.requests(), kThreads * kEach);
  EXPECT_LE(server.most_open(), 8);
  EXPECT_LE(server.connections(), 8);
}

TEST_P(HttpClientTest, RefusesWhatItsQueueCannotHold) {
  Gate gate;
  TestServer server(gate.handler());
  HttpClientOptions options = OneThread();
  options.max_connections = 2;
  options.max_pending = 10;
  const auto client = MakeHttpClient(GetParam(), options);
  std::vector<std::future<absl::StatusOr<HttpResponse>>> accepted;
  for (int i = 0; i < 10; ++i) {
    accepted.push_back(SendAsync(*client, Request(HttpMethod::kGet, server.Url())));
  }
  const auto refused = SendNow(*client, Request(HttpMethod::kGet, server.Url("/?sig=SECRET")));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(refused.status().ToString().find("SECRET"), std::string::npos);
  gate.Open();
  for (auto& response : accepted) EXPECT_TRUE(response.get().ok());
  EXPECT_TRUE(SendNow(*client, Request(HttpMethod::kGet, server.Url())).ok());
}

TEST_P(HttpClientTest, ACallbackMaySendAgain) {
  TestServer server(Echo());
  const auto client = MakeHttpClient(GetParam(), OneThread());
  std::promise<bool> second;
  client->Send(Request(HttpMethod::kGet, server.Url()), [&](absl::StatusOr<HttpResponse> first) {
    EXPECT_TRUE(first.ok());
    EXPECT_TRUE(client->OnClientThread());
    client->Send(Request(HttpMethod::kGet, server.Url()),
                 [&](absl::StatusOr<HttpResponse> r) { second.set_value(r.ok()); });
  });
  EXPECT_TRUE(second.get_future().get());
  EXPECT_FALSE(client->OnClientThread());
}

TEST_P(HttpClientTest, TimersRunInOrderAndNotEarly) {
  const auto client = MakeHttpClient(GetParam(), OneThread());
  const absl::Time begin = absl::Now();
  std::string order;
  std::promise<void> last;
  client->RunAfter(absl::Milliseconds(60), [&](absl::Status status) {
    EXPECT_TRUE(status.ok());
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(60));
    order += "b";
    last.set_value();
  });
  client->RunAfter(absl::ZeroDuration(), [&](absl::Status status) {
    EXPECT_TRUE(status.ok());
    order += "a";
  });
  last.get_future().wait();
  EXPECT_EQ(order, "ab");
}

TEST_P(HttpClientTest, LogsAnExchangeWithoutItsSecrets) {
  TestServer server(Echo());
  absl::Mutex mutex;
  std::string log;
  HttpClientOptions options;
  options.log = [&](const std::string& line) {
    absl::MutexLock lock(&mutex);
    log += line;
  };
  {
    const auto client = MakeHttpClient(GetParam(), options);
    HttpRequest request = Request(HttpMethod::kGet, server.Url("/c/b?comp=list&sig=SECRET"));
    request.headers = {{"Authorization", "Bearer SECRET"}};
    EXPECT_TRUE(SendNow(*client, request).ok());
  }
  absl::MutexLock lock(&mutex);
  EXPECT_NE(log.find("GET " + server.Url("/c/b?comp=list")), std::string::npos) << log;
  EXPECT_NE(log.find("-> 200"), std::string::npos) << log;
  EXPECT_EQ(log.find("SECRET"), std::string::npos) << log;
}

}  // namespace
}  // namespace kvstore::testing
