#include "KVService/storage/azure/token_cache.h"

#include <gtest/gtest.h>

#include <optional>

#include "KVService/storage/azure/fake_http_client.h"
#include "KVService/storage/azure/token_credential.h"

namespace kvstore::azure {
namespace {

using testing::FakeHttpClient;

// Answers when the test says so.
class HeldSource : public TokenSource {
 public:
  const std::string& name() const override { return name_; }
  void Fetch(absl::Time, Done done) override {
    ++fetches;
    held.push_back(std::move(done));
  }
  void Answer(TokenResult result) {
    Done done = std::move(held.front());
    held.pop_front();
    std::move(done)(std::move(result));
  }

  int fetches = 0;
  std::deque<Done> held;

 private:
  const std::string name_ = "a credential";
};

TokenResult Failure(absl::Status status, bool again = false) {
  TokenResult result;
  result.token = std::move(status);
  result.again = again;
  return result;
}

class TokenCacheTest : public ::testing::Test {
 protected:
  using Answer = std::optional<absl::StatusOr<std::string>>;

  TokenCacheTest() { http_.hold_timers = true; }
  // What was never answered holds the cache, which holds the source.
  ~TokenCacheTest() override { source_->held.clear(); }

  std::shared_ptr<TokenCache> Make(TokenCacheOptions options = {}) {
    options.now = [this] { return now_; };
    return TokenCache::Make(&http_, source_, options);
  }
  std::shared_ptr<Answer> Get(TokenCache& cache, absl::Duration time = absl::Minutes(1)) {
    auto answer = std::make_shared<Answer>();
    cache.Get(now_ + time, [answer](absl::StatusOr<std::string> token) {
      EXPECT_FALSE(answer->has_value());
      *answer = std::move(token);
    });
    return answer;
  }
  // The token, or what there is instead.
  static std::string Value(const std::shared_ptr<Answer>& answer) {
    if (!answer->has_value()) return "no answer yet";
    return (*answer)->ok() ? ***answer : (*answer)->status().ToString();
  }
  TokenResult Token(const std::string& value, absl::Duration life = absl::Hours(1)) {
    TokenResult result;
    result.token = AccessToken{value, now_ + life};
    return result;
  }
  // Ends the timers that are there, not those that they begin.
  void RunTimers() {
    for (size_t n = http_.timers.size(); n > 0; --n) http_.RunNextTimer();
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  FakeHttpClient http_;
  const std::shared_ptr<HeldSource> source_ = std::make_shared<HeldSource>();
};

TEST_F(TokenCacheTest, OneAsksWhileFiftyWait) {
  const auto cache = Make();
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(Get(*cache));
  EXPECT_EQ(source_->fetches, 1);
  for (const auto& answer : answers) EXPECT_FALSE(answer->has_value());
  source_->Answer(Token("one"));
  for (const auto& answer : answers) EXPECT_EQ(Value(answer), "one");
  EXPECT_EQ(Value(Get(*cache)), "one");
  EXPECT_EQ(source_->fetches, 1);
}

TEST_F(TokenCacheTest, RenewsBeforeTheEndWhileTheOldOneServes) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("old"));
  now_ += absl::Minutes(54);
  EXPECT_EQ(Value(Get(*cache)), "old");
  EXPECT_EQ(source_->fetches, 1);
  now_ += absl::Minutes(1);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Value(Get(*cache)), "old");
  EXPECT_EQ(source_->fetches, 2);
  source_->Answer(Token("new"));
  EXPECT_EQ(Value(Get(*cache)), "new");
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(TokenCacheTest, AShortLifeIsRenewedAtItsHalf) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("short", absl::Seconds(60)));
  now_ += absl::Seconds(29);
  EXPECT_EQ(Value(Get(*cache)), "short");
  EXPECT_EQ(source_->fetches, 1);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Value(Get(*cache)), "short");
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(TokenCacheTest, AnExpiredTokenIsNotGivenOut) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("old", absl::Seconds(100)));
  now_ += absl::Seconds(89);
  EXPECT_EQ(Value(Get(*cache)), "old");
  now_ += absl::Seconds(1);  // the last tenth of its life
  const auto waits = Get(*cache);
  EXPECT_FALSE(waits->has_value());
  source_->Answer(Token("new"));
  EXPECT_EQ(Value(waits), "new");
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(TokenCacheTest, AFailedRenewalLeavesTheOldOneAndIsNotRepeatedAtOnce) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("old"));
  now_ += absl::Minutes(56);
  Get(*cache);
  source_->Answer(Failure(absl::PermissionDeniedError("no")));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Value(Get(*cache)), "old");
  EXPECT_EQ(source_->fetches, 2);
  now_ += absl::Seconds(1);
  EXPECT_EQ(Value(Get(*cache)), "old");
  EXPECT_EQ(source_->fetches, 3);
  source_->Answer(Token("new"));
  EXPECT_EQ(Value(Get(*cache)), "new");
}

TEST_F(TokenCacheTest, PassingFailuresAreTriedAgainForThoseWhoWait) {
  const auto cache = Make();
  const auto answer = Get(*cache);
  for (int attempt = 1; attempt < 4; ++attempt) {
    source_->Answer(Failure(absl::UnavailableError("busy"), true));
    EXPECT_FALSE(answer->has_value());
    RunTimers();
    EXPECT_EQ(source_->fetches, attempt + 1);
  }
  source_->Answer(Failure(absl::UnavailableError("busy"), true));
  EXPECT_TRUE(absl::IsUnavailable((*answer)->status()));
  EXPECT_EQ((*answer)->status().message(), "busy");
}

TEST_F(TokenCacheTest, WaitsAsLongAsTheEndpointAsksUpToABound) {
  const auto cache = Make();
  Get(*cache);
  TokenResult busy = Failure(absl::UnavailableError("busy"), true);
  busy.retry_after = absl::Seconds(7);
  source_->Answer(busy);
  EXPECT_GE(http_.delays.back(), absl::Seconds(7));
  EXPECT_LE(http_.delays.back(), absl::Seconds(7.5));
  RunTimers();
  busy.retry_after = absl::Hours(7);
  source_->Answer(busy);
  EXPECT_LE(http_.delays.back(), absl::Seconds(31));
}

TEST_F(TokenCacheTest, ADeadEndpointIsLeftAloneEverLonger) {
  const auto cache = Make();
  absl::Duration rest = absl::Seconds(1);
  for (int round = 0; round < 9; ++round) {
    const auto first = Get(*cache);
    EXPECT_EQ(source_->fetches, round + 1);
    source_->Answer(Failure(absl::FailedPreconditionError("nobody there")));
    EXPECT_EQ((*first)->status(), absl::FailedPreconditionError("nobody there"));
    for (int i = 0; i < 100; ++i) {
      const auto next = Get(*cache);
      EXPECT_EQ((*next)->status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ((*next)->status().message().find("nobody there (asked again in "), 0);
    }
    EXPECT_EQ(source_->fetches, round + 1);
    now_ += rest;
    rest = std::min(2 * rest, absl::Minutes(1));
  }
  const auto again = Get(*cache);
  source_->Answer(Token("back"));
  EXPECT_EQ(Value(again), "back");
}

TEST_F(TokenCacheTest, WaitingEndsWithTheDeadlineOfEach) {
  const auto cache = Make();
  const auto early = Get(*cache, absl::Seconds(1));
  const auto late = Get(*cache, absl::Seconds(10));
  const auto past = Get(*cache, absl::ZeroDuration());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*past)->status()));
  RunTimers();
  EXPECT_FALSE(early->has_value());
  now_ += absl::Seconds(2);
  RunTimers();
  EXPECT_TRUE(absl::IsDeadlineExceeded((*early)->status()));
  EXPECT_FALSE(late->has_value());
  source_->Answer(Token("t"));
  EXPECT_EQ(Value(late), "t");
  RunTimers();
  EXPECT_TRUE(http_.timers.empty());
}

TEST_F(TokenCacheTest, TooManyDoNotWait) {
  TokenCacheOptions options;
  options.max_waiting = 2;
  const auto cache = Make(options);
  const auto one = Get(*cache), two = Get(*cache), three = Get(*cache);
  EXPECT_TRUE(absl::IsResourceExhausted((*three)->status()));
  source_->Answer(Token("t"));
  EXPECT_EQ(Value(one), "t");
  EXPECT_EQ(Value(two), "t");
}

TEST_F(TokenCacheTest, AShutdownEndsThoseWhoWait) {
  const auto cache = Make();
  const auto answer = Get(*cache);
  source_->Answer(Failure(absl::UnavailableError("busy"), true));
  while (!http_.timers.empty()) http_.RunNextTimer(absl::CancelledError("shutdown"));
  EXPECT_TRUE(absl::IsUnavailable((*answer)->status()));
}

TEST_F(TokenCacheTest, OutlivesItsOwnerWhileARenewalRuns) {
  std::shared_ptr<Answer> answer;
  {
    const auto cache = Make();
    answer = Get(*cache);
  }
  source_->Answer(Token("t"));
  EXPECT_EQ(Value(answer), "t");
}

TEST_F(TokenCacheTest, ARefusedTokenIsRenewedOnceForAll) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("old"));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(cache->Refused("old"));
  EXPECT_EQ(source_->fetches, 1);  // nobody asks yet
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 10; ++i) answers.push_back(Get(*cache));
  EXPECT_TRUE(cache->Refused("old"));
  EXPECT_EQ(source_->fetches, 2);
  source_->Answer(Token("new"));
  for (const auto& answer : answers) EXPECT_EQ(Value(answer), "new");
  // Who comes late with the old one does no harm.
  now_ += absl::Hours(1) / 4;
  EXPECT_TRUE(cache->Refused("old"));
  EXPECT_EQ(Value(Get(*cache)), "new");
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(TokenCacheTest, WhereEveryTokenIsRefusedTheEndpointIsNotAskedForEver) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("0"));
  for (int round = 1; round <= 3; ++round) {
    EXPECT_TRUE(cache->Refused(std::to_string(round - 1)));
    const auto answer = Get(*cache);
    source_->Answer(Token(std::to_string(round)));
    EXPECT_EQ(Value(answer), std::to_string(round));
    for (int i = 0; i < 100; ++i) {
      EXPECT_FALSE(cache->Refused(std::to_string(round)));
      EXPECT_EQ(Value(Get(*cache)), std::to_string(round));
    }
    EXPECT_EQ(source_->fetches, round + 1);
    now_ += absl::Minutes(1);
  }
}

TEST_F(TokenCacheTest, ARefusedTokenServesWhileADeadEndpointRests) {
  const auto cache = Make();
  Get(*cache);
  source_->Answer(Token("old"));
  EXPECT_TRUE(cache->Refused("old"));
  const auto failed = Get(*cache);
  source_->Answer(Failure(absl::PermissionDeniedError("no")));
  EXPECT_EQ((*failed)->status(), absl::PermissionDeniedError("no"));
  EXPECT_EQ(Value(Get(*cache)), "old");
  EXPECT_EQ(source_->fetches, 2);
  now_ += absl::Seconds(1);
  const auto waits = Get(*cache);
  EXPECT_EQ(source_->fetches, 3);
  source_->Answer(Token("new"));
  EXPECT_EQ(Value(waits), "new");
}

TEST_F(TokenCacheTest, TheCredentialAddsTheTokenAndTheVersion) {
  const auto credential = MakeTokenCredential(Make());
  absl::StatusOr<HttpRequest> result;
  const auto authorize = [&](const std::string& url, HttpHeaders headers) {
    HttpRequest request;
    request.url = url;
    request.headers = std::move(headers);
    credential->Authorize(request, [&](absl::StatusOr<HttpRequest> r) { result = std::move(r); });
  };
  authorize("https://acct/c", {});
  source_->Answer(Token("t.o.k"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*FindHeader(result->headers, "Authorization"), "Bearer t.o.k");
  EXPECT_EQ(*FindHeader(result->headers, "x-ms-version"), "2021-08-06");
  authorize("https://acct/c", {{"x-ms-version", "2024-01-01"}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*FindHeader(result->headers, "x-ms-version"), "2024-01-01");
  EXPECT_EQ(result->headers.size(), 2u);

  EXPECT_FALSE(credential->Refused("SharedKey t.o.k"));
  EXPECT_TRUE(credential->Refused("Bearer t.o.k"));

  authorize("http://acct/c?sig=SECRET", {});
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status()));
  EXPECT_EQ(result.status().message().find("SECRET"), std::string::npos);
  EXPECT_EQ(result.status().message().find("t.o.k"), std::string::npos);
}

}  // namespace
}  // namespace kvstore::azure
