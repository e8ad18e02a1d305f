// The sources against endpoints on real sockets, through the client that the server uses.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <thread>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/test_server.h"
#include "KVService/platform/temp_dir.h"
#include "KVService/storage/azure/entra_identity.h"
#include "KVService/storage/azure/managed_identity.h"
#include "KVService/storage/azure/token_cache.h"

namespace kvstore::azure {
namespace {

using testing::TestConnection;
using testing::TestRequest;
using testing::TestServer;

constexpr char kToken[] = R"({"access_token":"t.o.k","expires_in":3600,"token_type":"Bearer"})";
constexpr char kSecret[] = "s3cret/+&=";

enum class Kind { kImds, kAppService, kWorkload, kSecret };

// What a correct request of each kind looks like.
void CheckRequest(Kind kind, const TestRequest& request) {
  const auto header = [&](const char* name) {
    const auto it = request.headers.find(name);
    return it == request.headers.end() ? std::string() : it->second;
  };
  if (kind == Kind::kImds) {
    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.target,
              "/metadata/identity/oauth2/token?api-version=2018-02-01&"
              "resource=https%3A%2F%2Fstorage.azure.com%2F&client_id=an%20id");
    EXPECT_EQ(header("metadata"), "true");
  } else if (kind == Kind::kAppService) {
    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.target,
              "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com%2F&"
              "client_id=an%20id");
    EXPECT_EQ(header("x-identity-header"), kSecret);
  } else {
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.target, "/a-tenant.example/oauth2/v2.0/token");
    EXPECT_EQ(header("content-type"), "application/x-www-form-urlencoded");
    const std::string common =
        "grant_type=client_credentials&client_id=an%20id&"
        "scope=https%3A%2F%2Fstorage.azure.com%2F.default&";
    EXPECT_EQ(request.body, common + (kind == Kind::kSecret
                                          ? "client_secret=s3cret%2F%2B%26%3D"
                                          : "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A"
                                            "client-assertion-type%3Ajwt-bearer&"
                                            "client_assertion=s3cret%2F%2B%26%3D"));
  }
}

class TokenEndpointsTest : public ::testing::TestWithParam<Kind> {
 protected:
  TokenEndpointsTest() { WriteFederatedToken(kSecret); }

  void WriteFederatedToken(const std::string& token) {
    std::ofstream(directory_.path() + "/token") << token << "\n";
  }

  std::shared_ptr<TokenCache> Make(const std::string& endpoint, TokenCacheOptions options = {}) {
    options.retry.first_delay = absl::Milliseconds(1);
    const TokenContext context{&http_, &files_};
    return TokenCache::Make(&http_, Source(context, endpoint), options);
  }

  static absl::StatusOr<std::string> Get(TokenCache& cache,
                                         absl::Duration time = absl::Minutes(1)) {
    std::promise<absl::StatusOr<std::string>> promise;
    cache.Get(absl::Now() + time,
              [&](absl::StatusOr<std::string> token) { promise.set_value(std::move(token)); });
    return promise.get_future().get();
  }

  // Of a failure that says which credential and endpoint, and not the secret.
  void ExpectClear(const absl::Status& status, const TestServer& server) {
    const std::string message(status.message());
    const char* names[] = {"managed identity an id (IMDS at http://127.0.0.1",
                           "managed identity an id (App Service at http://127.0.0.1",
                           "workload identity an id (at http://127.0.0.1",
                           "client secret an id (at http://127.0.0.1"};
    EXPECT_EQ(message.find(names[static_cast<int>(GetParam())]), 0) << message;
    EXPECT_NE(message.find(std::to_string(server.port())), std::string::npos) << message;
    EXPECT_EQ(message.find("s3cret"), std::string::npos) << message;
  }

  testing::TempDir directory_;
  ThreadPool files_{"kv-token", 1, 16};
  CurlHttpClient http_{HttpClientOptions()};

 private:
  std::shared_ptr<TokenSource> Source(const TokenContext& context, std::string endpoint) {
    endpoint.pop_back();  // its '/'
    if (GetParam() == Kind::kImds || GetParam() == Kind::kAppService) {
      ManagedIdentityOptions options;
      options.client_id = "an id";
      options.imds_endpoint = endpoint;
      if (GetParam() == Kind::kAppService) {
        options.app_service_endpoint = endpoint + "/msi/token";
        options.app_service_header = kSecret;
      }
      return MakeManagedIdentitySource(context, options);
    }
    const EntraOptions options{"a-tenant.example", "an id", endpoint + "/"};
    auto source = GetParam() == Kind::kSecret
                      ? MakeClientSecretSource(context, options, kSecret)
                      : MakeWorkloadIdentitySource(context, options, directory_.path() + "/token");
    EXPECT_TRUE(source.ok()) << source.status();
    return *std::move(source);
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, TokenEndpointsTest,
                         ::testing::Values(Kind::kImds, Kind::kAppService, Kind::kWorkload,
                                           Kind::kSecret));

TEST_P(TokenEndpointsTest, GetsATokenAndKeepsIt) {
  TestServer server([](const TestRequest& request, TestConnection& connection) {
    CheckRequest(GetParam(), request);
    connection.Reply(200, kToken);
  });
  const auto cache = Make(server.Url());
  for (int i = 0; i < 3; ++i) {
    const auto token = Get(*cache);
    ASSERT_TRUE(token.ok()) << token.status();
    EXPECT_EQ(*token, "t.o.k");
  }
  EXPECT_EQ(server.requests(), 1);
}

TEST_P(TokenEndpointsTest, ARefusalIsPassedOnAndNotRepeated) {
  // An endpoint that knows a secret may repeat it.
  const bool secret = GetParam() != Kind::kImds;
  const std::string said = secret ? " for REDACTED" : "";
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Reply(400, std::string(R"({"error":"unauthorized_client","error_description":
        "AADSTS700016: no such application)") +
                              (secret ? std::string(" for ") + kSecret : "") +
                              R"(\r\nTrace ID: x"})");
  });
  const auto cache = Make(server.Url());
  for (int i = 0; i < 5; ++i) {
    const absl::Status status = Get(*cache).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status));
    ExpectClear(status, server);
    EXPECT_NE(status.message().find("answers 400, unauthorized_client: AADSTS700016: no such "
                                    "application" +
                                    said + "; "),
              std::string::npos)
        << status;
  }
  EXPECT_EQ(server.requests(), 1);
}

TEST_P(TokenEndpointsTest, AFailingEndpointIsAskedAgain) {
  std::atomic<int> requests = 0;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    CheckRequest(GetParam(), request);
    const int n = requests++;
    if (n == 0) return connection.Reply(503, "busy");
    if (n == 1) return connection.Reply(429, "");
    connection.Reply(200, kToken);
  });
  const auto token = Get(*Make(server.Url()));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(*token, "t.o.k");
  EXPECT_EQ(requests, 3);
}

TEST_P(TokenEndpointsTest, ADeadEndpointIsNotHammered) {
  TestServer server(
      [](const TestRequest&, TestConnection& connection) { connection.Reply(500, "{}"); });
  const auto cache = Make(server.Url());
  for (int i = 0; i < 100; ++i) {
    const absl::Status status = Get(*cache).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    ExpectClear(status, server);
  }
  EXPECT_EQ(server.requests(), 4);
}

TEST_P(TokenEndpointsTest, NonsenseIsAnError) {
  std::atomic<int> requests = 0;
  const std::vector<std::string> nonsense = {"", "<html>s3cret", R"({"access_token":"s3cret")",
                                             R"({"access_token":"s3cret","expires_in":"never"})"};
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    connection.Reply(200, nonsense[requests++ % nonsense.size()]);
  });
  for (size_t i = 0; i < nonsense.size(); ++i) {
    const absl::Status status = Get(*Make(server.Url())).status();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    ExpectClear(status, server);
  }
}

TEST_P(TokenEndpointsTest, AResponseWithoutEndIsCutOff) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.Reply(200, std::string(kMaxTokenResponseBytes + 1, ' '));
  });
  const absl::Status status = Get(*Make(server.Url())).status();
  EXPECT_FALSE(status.ok());
  ExpectClear(status, server);
}

TEST_P(TokenEndpointsTest, ASlowEndpointDoesNotHoldARequestBeyondItsDeadline) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.WaitForPeerToClose();
    connection.Close();
  });
  TokenCacheOptions options;
  options.attempt_timeout = absl::Seconds(1);
  options.retry.max_attempts = 1;
  const auto cache = Make(server.Url(), options);
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Get(*cache, absl::Milliseconds(50)).status()));
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(900));
  // One who has the time hears from the endpoint, or what is known of it.
  const absl::Status status = Get(*cache).status();
  EXPECT_FALSE(status.ok());
  ExpectClear(status, server);
}

TEST_P(TokenEndpointsTest, FiftyThreadsShareOneExchange) {
  absl::Mutex mutex;
  bool open = false;
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&open));
    connection.Reply(200, kToken);
  });
  const auto cache = Make(server.Url());
  std::vector<std::thread> threads;
  std::atomic<int> asked = 0, got = 0;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      std::promise<bool> promise;
      cache->Get(absl::Now() + absl::Minutes(1),
                 [&](absl::StatusOr<std::string> token) { promise.set_value(token.ok()); });
      ++asked;
      got += promise.get_future().get();
    });
  }
  while (asked < 50) std::this_thread::yield();
  EXPECT_EQ(got, 0);
  {
    absl::MutexLock lock(&mutex);
    open = true;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(got, 50);
  EXPECT_EQ(server.requests(), 1);
}

// Tokens that live a second, so that every thread meets renewals and ends of lives.
TEST_P(TokenEndpointsTest, RenewalsGoOnUnderManyThreads) {
  std::atomic<int> number = 0, running = 0, most = 0;
  TestServer server([&](const TestRequest&, TestConnection& connection) {
    most = std::max<int>(most, ++running);
    const std::string token = "t" + std::to_string(++number);
    --running;
    connection.Reply(200, R"({"expires_in":1,"access_token":")" + token + "\"}");
  });
  const auto cache = Make(server.Url());
  const absl::Time end = absl::Now() + absl::Milliseconds(1800);
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      while (absl::Now() < end) {
        failures += !Get(*cache).ok();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(most, 1);
  EXPECT_GE(server.requests(), 2);
  EXPECT_LE(server.requests(), 6);
}

TEST_P(TokenEndpointsTest, AShutdownEndsThoseWhoWait) {
  TestServer server([](const TestRequest&, TestConnection& connection) {
    connection.WaitForPeerToClose();
    connection.Close();
  });
  const auto cache = Make(server.Url());
  std::promise<absl::Status> promise;
  cache->Get(absl::InfiniteFuture(),
             [&](absl::StatusOr<std::string> token) { promise.set_value(token.status()); });
  while (server.requests() == 0) std::this_thread::yield();
  http_.Shutdown();
  EXPECT_TRUE(absl::IsCancelled(promise.get_future().get()));
}

using WorkloadIdentityTest = TokenEndpointsTest;
INSTANTIATE_TEST_SUITE_P(Workload, WorkloadIdentityTest, ::testing::Values(Kind::kWorkload));

TEST_P(WorkloadIdentityTest, ReadsTheFederatedTokenAnewForEachExchange) {
  absl::Mutex mutex;
  std::vector<std::string> bodies;
  TestServer server([&](const TestRequest& request, TestConnection& connection) {
    {
      absl::MutexLock lock(&mutex);
      bodies.push_back(request.body);
    }
    connection.Reply(200, kToken);
  });
  std::atomic<int64_t> skipped = 0;  // seconds
  TokenCacheOptions options;
  options.now = [&] { return absl::Now() + absl::Seconds(skipped.load()); };
  const auto cache = Make(server.Url(), options);
  WriteFederatedToken("first");
  EXPECT_TRUE(Get(*cache).ok());
  WriteFederatedToken("second");
  EXPECT_TRUE(Get(*cache).ok());
  skipped = 3600;
  EXPECT_TRUE(Get(*cache, absl::InfiniteDuration()).ok());
  absl::MutexLock lock(&mutex);
  ASSERT_EQ(bodies.size(), 2u);
  EXPECT_TRUE(bodies[0].ends_with("client_assertion=first"));
  EXPECT_TRUE(bodies[1].ends_with("client_assertion=second"));
}

TEST_P(WorkloadIdentityTest, AMissingTokenFileIsNamed) {
  TestServer server([](const TestRequest&, TestConnection& connection) { connection.Close(); });
  std::filesystem::remove(directory_.path() + "/token");
  const absl::Status status = Get(*Make(server.Url())).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_NE(status.message().find(directory_.path() + "/token cannot be read"), std::string::npos);
  EXPECT_NE(status.message().find("AZURE_FEDERATED_TOKEN_FILE"), std::string::npos);
  EXPECT_EQ(server.requests(), 0);
}

TEST_P(WorkloadIdentityTest, AFullPoolIsAnError) {
  files_.Shutdown();
  TestServer server([](const TestRequest&, TestConnection& connection) { connection.Close(); });
  EXPECT_TRUE(absl::IsUnavailable(Get(*Make(server.Url())).status()));
}

using ManagedIdentityTest = TokenEndpointsTest;
INSTANTIATE_TEST_SUITE_P(Imds, ManagedIdentityTest, ::testing::Values(Kind::kImds));

TEST_P(ManagedIdentityTest, AMachineWithoutTheServiceLearnsItOnce) {
  std::string url;
  {
    TestServer gone([](const TestRequest&, TestConnection&) {});
    url = gone.Url();
  }
  TokenCacheOptions options;
  options.first_rest = absl::Minutes(1);
  const auto cache = Make(url, options);
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 100; ++i) {
    const absl::Status status = Get(*cache).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(status.message().find("configure another credential"), std::string::npos);
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
}

// Off Azure a firewall may drop what is sent there: a listener whose queue is full does the same.
TEST_P(ManagedIdentityTest, AnAddressThatSwallowsConnectionsHoldsNobodyLong) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener, any, size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, any, &size), 0);
  std::vector<int> queued;
  for (int i = 0; i < 4; ++i) {
    queued.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    ::connect(queued.back(), any, size);
  }
  ManagedIdentityOptions options;
  options.imds_endpoint = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  options.imds_connect_timeout = absl::Milliseconds(300);
  const auto cache = TokenCache::Make(&http_, MakeManagedIdentitySource({&http_}, options));
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 10; ++i) {
    const absl::Status status = Get(*cache).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  for (int socket : queued) ::close(socket);
  ::close(listener);
}

TEST(EntraIdentity, RefusesWhatCannotWork) {
  const TokenContext context{};
  const auto secret = [&](const EntraOptions& options, const char* value) {
    return MakeClientSecretSource(context, options, value).status();
  };
  EXPECT_TRUE(secret({"t", "c", ""}, "s").ok());
  EXPECT_TRUE(secret({"t", "c", "https://login.example/"}, "s").ok());
  for (const absl::Status& status :
       {secret({"", "c", ""}, "s"), secret({"t", "", ""}, "s"), secret({"t", "c", ""}, ""),
        secret({"t/../x", "c", ""}, "s"), secret({"t?", "c", ""}, "s"),
        secret({"t", "c", "http://login.example"}, "s"), secret({"t", "c", "login.example"}, "s"),
        MakeWorkloadIdentitySource(context, {"t", "c", ""}, "").status()}) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

}  // namespace
}  // namespace kvstore::azure
