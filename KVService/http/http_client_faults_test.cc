// Servers and networks that fail, deadlines, cancellation and shutdown.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "KVService/http/http_testing.h"
#include "KVService/http/http_transport.h"
#include "KVService/http/test_server.h"

namespace kvstore::testing {
namespace {

class HttpClientFaultsTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Transports, HttpClientFaultsTest, ::testing::ValuesIn(HttpTransports()),
                         [](const auto& info) { return info.param; });

HttpClientOptions OneConnection() {
  HttpClientOptions options;
  options.threads = 1;
  options.max_connections = 1;
  return options;
}

TestServer::Handler Stall() {
  return [](const TestRequest&, TestConnection& connection) { connection.WaitForPeerToClose(); };
}

void WaitForRequests(const TestServer& server, int count) {
  while (server.requests() < count) absl::SleepFor(absl::Milliseconds(1));
}

TEST_P(HttpClientFaultsTest, ATruncatedBodyIsAnError) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + Pattern(50000));
    connection.Close();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto response = SendNow(*client, Request(HttpMethod::kGet, server.Url("/x?sig=SECRET")));
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
  EXPECT_EQ(response.status().ToString().find("SECRET"), std::string::npos);
}

TEST_P(HttpClientFaultsTest, AResetIsAnError) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    if (request.target == "/in-body") {
      connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + Pattern(50000));
    }
    connection.Reset();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  for (const char* target : {"/before", "/in-body"}) {
    const auto response = SendNow(*client, Request(HttpMethod::kGet, server.Url(target)));
    EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
  }
}

TEST_P(HttpClientFaultsTest, NonsenseInPlaceOfAResponseIsAnError) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.Send("220 mail.example ESMTP\r\n");
    connection.Close();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto response = SendNow(*client, Request(HttpMethod::kGet, server.Url()));
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
}

TEST_P(HttpClientFaultsTest, NobodyThereIsUnavailable) {
  const auto client = MakeHttpClient(GetParam(), {});
  const auto refused = SendNow(*client, Request(HttpMethod::kGet, "http://127.0.0.1:1/"));
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  const auto unknown = SendNow(*client, Request(HttpMethod::kGet, "http://host.invalid/"));
  EXPECT_TRUE(absl::IsUnavailable(unknown.status())) << unknown.status();
}

TEST_P(HttpClientFaultsTest, OnlyHttpUrls) {
  const auto client = MakeHttpClient(GetParam(), {});
  for (const char* url : {"", "file:///etc/passwd", "ftp://127.0.0.1/", "http://", "://"}) {
    const auto response = SendNow(*client, Request(HttpMethod::kGet, url));
    EXPECT_TRUE(absl::IsInvalidArgument(response.status())) << url << response.status();
  }
}

TEST_P(HttpClientFaultsTest, ADeadKeptConnectionIsReplacedAndToldOf) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    // As a server does whose idle time ran out just when the request was under way.
    if (connection.number() == 0 && request.target == "/second") return connection.Reset();
    connection.Reply(200, request.body);
  });
  const auto client = MakeHttpClient(GetParam(), OneConnection());
  const std::string body = Pattern(700000);
  const std::vector<Slice> slices = {Slice::CopyOf(AsBytes(body))};
  ASSERT_TRUE(SendNow(*client, Request(HttpMethod::kPut, server.Url("/first"), slices)).ok());
  const auto second = SendNow(*client, Request(HttpMethod::kPut, server.Url("/second"), slices));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(Body(*second), body);
  EXPECT_EQ(second->sends, 2);
  EXPECT_EQ(server.connections(), 2);
}

TEST_P(HttpClientFaultsTest, HeadersAreBounded) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    const int lines = std::stoi(request.target.substr(1));
    std::string headers;
    for (int i = 0; i < lines; ++i) {
      headers += "x-" + std::to_string(i) + ": " + std::string(1000, 'h') + "\r\n";
    }
    connection.Reply(200, "ok", headers);
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto many = SendNow(*client, Request(HttpMethod::kGet, server.Url("/200")));
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->Find("x-199")->size(), 1000);
  const auto too_many = SendNow(*client, Request(HttpMethod::kGet, server.Url("/2000")));
  EXPECT_TRUE(absl::IsResourceExhausted(too_many.status())) << too_many.status();
}

TEST_P(HttpClientFaultsTest, ABodyIsBoundedHoweverItIsAnnounced) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    if (request.target == "/known") {
      // Not to be allocated.
      connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\nx");
    } else {
      connection.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (int i = 0; i < 100 && connection.open(); ++i) {
        connection.Send("186a0\r\n" + Pattern(100000) + "\r\n");
      }
    }
    connection.Close();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  for (const char* target : {"/known", "/chunked"}) {
    HttpRequest request = Request(HttpMethod::kGet, server.Url(target));
    request.max_response_bytes = 1 << 20;
    const auto response = SendNow(*client, request);
    EXPECT_TRUE(absl::IsResourceExhausted(response.status())) << response.status();
  }
}

TEST_P(HttpClientFaultsTest, ASlowBodyArrives) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; ++i) {
      absl::SleepFor(absl::Milliseconds(5));
      connection.Send("x");
    }
  });
  const auto client = MakeHttpClient(GetParam(), {});
  const auto response = SendNow(*client, Request(HttpMethod::kGet, server.Url()));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(Body(*response), std::string(20, 'x'));
}

TEST_P(HttpClientFaultsTest, AnEarlyRefusalOfALargeBodyIsHeard) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.Reply(503, "busy", "Connection: close\r\n");
    connection.WaitForPeerToClose();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  HttpRequest request =
      Request(HttpMethod::kPut, server.Url(), {Slice::CopyOf(AsBytes(Pattern(4 << 20)))});
  request.headers = {{"x-test-leave-body", "1"}};
  const auto response = SendNow(*client, request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 503);
}

TEST_P(HttpClientFaultsTest, ADeadlineEndsAStalledExchange) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    if (request.target == "/body") {
      connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxyz");
    }
    connection.WaitForPeerToClose();
  });
  const auto client = MakeHttpClient(GetParam(), {});
  for (const char* target : {"/header", "/body"}) {
    HttpRequest request = Request(HttpMethod::kGet, server.Url(target));
    const absl::Time begin = absl::Now();
    request.deadline = begin + absl::Milliseconds(150);
    const auto response = SendNow(*client, request);
    EXPECT_TRUE(absl::IsDeadlineExceeded(response.status())) << response.status();
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(150));
    EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
  }
}

TEST_P(HttpClientFaultsTest, ADeadlineEndsTheWaitForAConnection) {
  TestServer server(Stall());
  const auto client = MakeHttpClient(GetParam(), OneConnection());
  auto stalled = SendAsync(*client, Request(HttpMethod::kGet, server.Url()));
  WaitForRequests(server, 1);
  HttpRequest request = Request(HttpMethod::kGet, server.Url());
  request.deadline = absl::Now() + absl::Milliseconds(50);
  const auto waiting = SendNow(*client, request);
  EXPECT_TRUE(absl::IsDeadlineExceeded(waiting.status())) << waiting.status();
  request.deadline = absl::InfinitePast();
  EXPECT_TRUE(absl::IsDeadlineExceeded(SendNow(*client, request).status()));
  EXPECT_EQ(server.requests(), 1);
}

TEST_P(HttpClientFaultsTest, ARequestWithoutADeadlineIsBoundedToo) {
  TestServer server(Stall());
  HttpClientOptions options;
  options.max_request_time = absl::Milliseconds(100);
  const auto client = MakeHttpClient(GetParam(), options);
  HttpRequest request = Request(HttpMethod::kGet, server.Url());
  request.deadline = absl::InfiniteFuture();
  EXPECT_TRUE(absl::IsDeadlineExceeded(SendNow(*client, request).status()));
}

TEST_P(HttpClientFaultsTest, ACancellationEndsItsRequestNowOrWhenItComes) {
  TestServer server(Stall());
  const auto client = MakeHttpClient(GetParam(), OneConnection());
  HttpRequest request = Request(HttpMethod::kGet, server.Url("/"));
  request.cancellation = std::make_shared<Cancellation>();
  auto running = SendAsync(*client, request);
  WaitForRequests(server, 1);
  request.cancellation->Cancel();
  EXPECT_TRUE(absl::IsCancelled(running.get().status()));
  EXPECT_TRUE(absl::IsCancelled(SendNow(*client, request).status())) << "cancelled before";
}

TEST_P(HttpClientFaultsTest, CancelEndsWhatRunsAndWhatWaits) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    request.target == "/stall" ? connection.WaitForPeerToClose() : connection.Reply(200, "");
  });
  const auto client = MakeHttpClient(GetParam(), OneConnection());
  HttpClient::CallId running, waiting;
  auto first = SendAsync(*client, Request(HttpMethod::kGet, server.Url("/stall")), &running);
  WaitForRequests(server, 1);
  auto second = SendAsync(*client, Request(HttpMethod::kGet, server.Url("/stall")), &waiting);
  auto third = SendAsync(*client, Request(HttpMethod::kGet, server.Url("/answer")));
  client->Cancel(waiting);
  EXPECT_TRUE(absl::IsCancelled(second.get().status()));
  client->Cancel(running);
  EXPECT_TRUE(absl::IsCancelled(first.get().status()));
  EXPECT_TRUE(third.get().ok());  // has the connection's place now
  client->Cancel(running);
  client->Cancel(12345);
  EXPECT_TRUE(SendNow(*client, Request(HttpMethod::kGet, server.Url("/answer"))).ok());
  EXPECT_EQ(server.requests(), 3);
}

TEST_P(HttpClientFaultsTest, ShutdownEndsEverything) {
  TestServer server(Stall());
  HttpClientOptions options;
  options.max_connections = 4;
  const auto client = MakeHttpClient(GetParam(), options);
  std::vector<std::future<absl::StatusOr<HttpResponse>>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(SendAsync(*client, Request(HttpMethod::kGet, server.Url())));
  }
  std::promise<absl::Status> timer;
  client->RunAfter(absl::Hours(1), [&](absl::Status status) { timer.set_value(status); });
  WaitForRequests(server, 4);
  client->Shutdown();
  for (auto& call : calls) {
    ASSERT_EQ(call.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_TRUE(absl::IsCancelled(call.get().status()));
  }
  EXPECT_TRUE(absl::IsCancelled(timer.get_future().get()));
  EXPECT_TRUE(
      absl::IsCancelled(SendNow(*client, Request(HttpMethod::kGet, server.Url())).status()));
  bool ran = false;
  client->RunAfter(absl::ZeroDuration(), [&](absl::Status status) {
    EXPECT_TRUE(absl::IsCancelled(status));
    ran = true;
  });
  EXPECT_TRUE(ran);
  client->Cancel(0);
  client->Shutdown();
}

TEST_P(HttpClientFaultsTest, ShutdownWhileOthersSendLosesNoCallback) {
  TestServer server(
      [](const TestRequest&, TestConnection& connection) { connection.Reply(200, ""); });
  for (int round = 0; round < 5; ++round) {
    const auto client = MakeHttpClient(GetParam(), {});
    std::atomic<int> sent = 0, done = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) {
          ++sent;
          client->Send(Request(HttpMethod::kGet, server.Url()),
                       [&](absl::StatusOr<HttpResponse>) { ++done; });
        }
      });
    }
    while (done < 20) absl::SleepFor(absl::Milliseconds(1));
    client->Shutdown();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(done, sent);
  }
}

}  // namespace
}  // namespace kvstore::testing
