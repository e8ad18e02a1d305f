#include "KVService/storage/azure/pipeline.h"

#include <gtest/gtest.h>

#include <optional>

#include "KVService/storage/azure/fake_http_client.h"
#include "absl/time/clock.h"

namespace kvstore::azure {
namespace {

using testing::Answer;
using testing::FakeHttpClient;

class PipelineTest : public ::testing::Test {
 protected:
  std::shared_ptr<Pipeline> Make(PipelineOptions options = {}) {
    return Pipeline::Make(&http_, MakeAnonymousCredential(), options);
  }
  absl::StatusOr<Exchange> Send(Pipeline& pipeline, absl::Duration time = absl::Hours(1)) {
    std::optional<absl::StatusOr<Exchange>> result;
    HttpRequest request;
    request.url = "http://h/c";
    request.deadline = absl::Now() + time;
    pipeline.Send(request, [&](absl::StatusOr<Exchange> r) {
      EXPECT_FALSE(result.has_value());
      result = std::move(r);
    });
    EXPECT_TRUE(result.has_value());
    return *std::move(result);
  }
  // Gives these answers in turn, and the last for ever.
  void Script(std::vector<absl::StatusOr<HttpResponse>> answers) {
    http_.handler = [answers, n = size_t{0}](const HttpRequest&) mutable {
      const size_t i = std::min(n++, answers.size() - 1);
      return answers[i];
    };
  }

  FakeHttpClient http_;
};

TEST_F(PipelineTest, RetriesPassingFailures) {
  for (int status : {408, 429, 500, 502, 503, 504}) {
    http_.requests.clear();
    Script({Answer(status), Answer(status), Answer(200)});
    const auto exchange = Send(*Make());
    ASSERT_TRUE(exchange.ok());
    EXPECT_EQ(exchange->response.status, 200);
    EXPECT_EQ(http_.requests.size(), 3) << status;
    // Throttled requests were not acted on; those that failed inside may have been.
    EXPECT_EQ(exchange->ambiguous, status != 429 && status != 503) << status;
  }
}

TEST_F(PipelineTest, AllAttemptsBearTheIdsOfTheCallTheyAreFor) {
  Script({Answer(503), Answer(200)});
  auto origin = std::make_shared<Origin>();
  origin->request_id = *RequestId::Parse("chat-7");
  const char* const kTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  origin->trace = *ParseTraceparent(kTrace);
  HttpRequest request;
  request.url = "http://h/c";
  request.origin = origin;
  Make()->Send(request, [](const absl::StatusOr<Exchange>& r) { EXPECT_TRUE(r.ok()); });
  ASSERT_EQ(http_.requests.size(), 2u);
  for (const HttpRequest& sent : http_.requests) {
    EXPECT_EQ(*FindHeader(sent.headers, "x-ms-client-request-id"), "chat-7");
    EXPECT_EQ(*FindHeader(sent.headers, "traceparent"), kTrace);
  }
}

TEST_F(PipelineTest, WhatIsForNobodyHasAnIdOfItsOwn) {
  Script({Answer(503), Answer(200)});
  const auto pipeline = Make();
  ASSERT_TRUE(Send(*pipeline).ok());
  ASSERT_TRUE(Send(*pipeline).ok());
  ASSERT_EQ(http_.requests.size(), 3u);
  const auto id = [this](size_t i) {
    return *FindHeader(http_.requests[i].headers, "x-ms-client-request-id");
  };
  EXPECT_EQ(id(0).size(), 16u);
  EXPECT_EQ(id(0), id(1));  // attempts of one
  EXPECT_NE(id(1), id(2));
  EXPECT_EQ(FindHeader(http_.requests[0].headers, "traceparent"), nullptr);
}

TEST_F(PipelineTest, RetriesBrokenConnectionsAndDamagedBodies) {
  Script({absl::UnavailableError("reset"), Answer(400, {{"x-ms-error-code", "Md5Mismatch"}}),
          absl::DeadlineExceededError("the attempt's"), Answer(409)});
  const auto exchange = Send(*Make());
  ASSERT_TRUE(exchange.ok());
  EXPECT_EQ(exchange->response.status, 409);
  EXPECT_TRUE(exchange->ambiguous);
}

TEST_F(PipelineTest, DoesNotRetryWhatWouldFailAgain) {
  for (int status : {200, 201, 304, 400, 401, 403, 404, 409, 412, 416}) {
    http_.requests.clear();
    Script({Answer(status)});
    const auto exchange = Send(*Make());
    ASSERT_TRUE(exchange.ok());
    EXPECT_FALSE(exchange->ambiguous);
    EXPECT_EQ(http_.requests.size(), 1) << status;
  }
  http_.requests.clear();
  Script({absl::InvalidArgumentError("url")});
  EXPECT_TRUE(absl::IsInvalidArgument(Send(*Make()).status()));
  EXPECT_EQ(http_.requests.size(), 1);
}

TEST_F(PipelineTest, TellsOfARequestThatWasBegunTwice) {
  HttpResponse resent = Answer(409);
  resent.sends = 2;
  Script({resent});
  EXPECT_TRUE(Send(*Make())->ambiguous);
}

TEST_F(PipelineTest, SignsEachAttemptAnewUnderOneId) {
  Script({Answer(500), Answer(200)});
  ASSERT_TRUE(Send(*Make()).ok());
  ASSERT_EQ(http_.requests.size(), 2);
  for (const HttpRequest& request : http_.requests) {
    int dates = 0;
    for (const HttpHeader& header : request.headers) dates += header.name == "x-ms-date";
    EXPECT_EQ(dates, 1);
    EXPECT_LE(request.deadline, absl::Now() + PipelineOptions().attempt_timeout);
  }
  EXPECT_EQ(*FindHeader(http_.requests[0].headers, "x-ms-client-request-id"),
            *FindHeader(http_.requests[1].headers, "x-ms-client-request-id"));
}

TEST_F(PipelineTest, GivesUpAfterItsAttemptsWithTheLastAnswer) {
  Script({Answer(500)});
  PipelineOptions options;
  options.retry.max_attempts = 4;
  const auto exchange = Send(*Make(options));
  ASSERT_TRUE(exchange.ok());
  EXPECT_EQ(exchange->response.status, 500);
  EXPECT_EQ(http_.requests.size(), 4);
  ASSERT_EQ(http_.delays.size(), 3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LE(http_.delays[i], options.retry.first_delay * (1 << i));
  }
}

TEST_F(PipelineTest, DoesNotWaitBeyondTheDeadline) {
  Script({Answer(503, {{"Retry-After", "20"}})});
  const auto exchange = Send(*Make(), absl::Seconds(10));
  ASSERT_TRUE(exchange.ok());
  EXPECT_EQ(exchange->response.status, 503);
  EXPECT_EQ(http_.requests.size(), 1);
  EXPECT_TRUE(http_.delays.empty());
}

// It has done its own retries, and may hold every place while it waits.
TEST_F(PipelineTest, WhatTheCredentialFailsAtEndsTheCall) {
  class Failing : public Credential {
   public:
    void Authorize(HttpRequest, Done done) override {
      ++asked;
      std::move(done)(absl::UnavailableError("no token"));
    }
    int asked = 0;
  };
  const auto credential = std::make_shared<Failing>();
  PipelineOptions options;
  options.max_under_way = 1;
  const auto pipeline = Pipeline::Make(&http_, credential, options);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(Send(*pipeline).status(), absl::UnavailableError("no token"));
    EXPECT_EQ(credential->asked, i);
  }
  EXPECT_TRUE(http_.requests.empty());
  EXPECT_TRUE(http_.delays.empty());
}

TEST_F(PipelineTest, WhatIsRefusedIsAuthorizedAnewOnce) {
  class Renewing : public Credential {
   public:
    void Authorize(HttpRequest request, Done done) override {
      request.headers.push_back({"Authorization", std::to_string(number)});
      std::move(done)(std::move(request));
    }
    bool Refused(std::string_view authorization) override {
      EXPECT_EQ(authorization, std::to_string(number));
      ++number;
      return true;
    }
    int number = 0;
  };
  const auto credential = std::make_shared<Renewing>();
  PipelineOptions options;
  options.retry.max_attempts = 1;  // it is none of these
  const auto pipeline = Pipeline::Make(&http_, credential, options);
  Script({Answer(401), Answer(200)});
  EXPECT_EQ(Send(*pipeline)->response.status, 200);
  ASSERT_EQ(http_.requests.size(), 2);
  EXPECT_EQ(*FindHeader(http_.requests[1].headers, "Authorization"), "1");
  EXPECT_TRUE(http_.delays.empty());

  http_.requests.clear();
  Script({Answer(401)});
  const auto exchange = Send(*pipeline);
  EXPECT_EQ(exchange->response.status, 401);
  EXPECT_FALSE(exchange->ambiguous);
  EXPECT_EQ(http_.requests.size(), 2);
}

TEST_F(PipelineTest, AShutdownWhileBackingOffEndsTheCall) {
  http_.hold_timers = true;
  Script({Answer(500)});
  std::optional<absl::Status> status;
  const auto pipeline = Make();
  HttpRequest request;
  pipeline->Send(request, [&](absl::StatusOr<Exchange> r) { status = r.status(); });
  ASSERT_FALSE(status.has_value());
  http_.RunNextTimer(absl::CancelledError("shutdown"));
  EXPECT_TRUE(absl::IsCancelled(*status));
}

TEST_F(PipelineTest, ThrottlingSlowsTheSenderDown) {
  http_.hold_answers = http_.hold_timers = true;
  PipelineOptions options;
  options.max_under_way = 8;
  const auto pipeline = Make(options);
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    HttpRequest request;
    pipeline->Send(request, [&](absl::StatusOr<Exchange> r) {
      EXPECT_TRUE(r.ok());
      ++done;
    });
  }
  EXPECT_EQ(http_.held.size(), 8);
  EXPECT_EQ(pipeline->Stats().under_way, 8);
  EXPECT_EQ(pipeline->Stats().waiting, 12);
  // One round of throttled requests halves the limit once.
  for (int i = 0; i < 8; ++i) http_.AnswerNext(Answer(503));
  EXPECT_EQ(pipeline->Stats().limit, 4);
  EXPECT_EQ(http_.held.size(), 4);
  while (!http_.held.empty() || !http_.timers.empty()) {
    EXPECT_LE(http_.held.size(), 8);
    if (!http_.held.empty()) http_.AnswerNext(Answer(200));
    if (!http_.timers.empty()) http_.RunNextTimer();
  }
  EXPECT_EQ(done, 20);
  EXPECT_EQ(pipeline->Stats().under_way, 0);
  EXPECT_EQ(pipeline->Stats().waiting, 0);
  EXPECT_GT(pipeline->Stats().limit, 4);
  EXPECT_EQ(pipeline->Stats().throttled, 8);
  EXPECT_EQ(pipeline->Stats().retries, 8);
}

TEST_F(PipelineTest, WhoWaitsInVainLearnsOfIt) {
  http_.hold_answers = http_.hold_timers = true;
  PipelineOptions options;
  options.max_under_way = 1;
  options.max_waiting = 1;
  const auto pipeline = Make(options);
  HttpRequest request;
  pipeline->Send(request, [](absl::StatusOr<Exchange>) {});
  request.deadline = absl::InfinitePast();
  std::optional<absl::Status> late, refused;
  pipeline->Send(request, [&](absl::StatusOr<Exchange> r) { late = r.status(); });
  pipeline->Send(request, [&](absl::StatusOr<Exchange> r) { refused = r.status(); });
  EXPECT_TRUE(absl::IsResourceExhausted(*refused));
  ASSERT_FALSE(late.has_value());
  http_.RunNextTimer();
  EXPECT_TRUE(absl::IsDeadlineExceeded(*late));
  EXPECT_TRUE(http_.timers.empty());
  http_.AnswerNext(Answer(200));
}

TEST_F(PipelineTest, ThousandsWhoAreRefusedDoNotNest) {
  http_.hold_answers = true;
  http_.hold_timers = true;
  PipelineOptions options;
  options.max_under_way = 1;
  options.max_waiting = 100000;
  const auto pipeline = Make(options);
  int done = 0;
  for (int i = 0; i < 100000; ++i) {
    HttpRequest request;
    pipeline->Send(request, [&](absl::StatusOr<Exchange>) { ++done; });
  }
  http_.hold_answers = false;
  Script({absl::CancelledError("shutdown")});
  http_.AnswerNext(absl::CancelledError("shutdown"));
  EXPECT_EQ(done, 100000);
}

TEST(RetryPolicyTest, ReadsRetryAfterInAllItsForms) {
  const absl::Time now = absl::FromUnixSeconds(1445412480);  // Wed, 21 Oct 2015 07:28:00 GMT
  const auto after = [&](const char* name, const char* value) {
    return RetryAfter(Answer(503, {{name, value}}), now);
  };
  EXPECT_EQ(after("Retry-After", "7"), absl::Seconds(7));
  EXPECT_EQ(after("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT"), absl::Seconds(30));
  EXPECT_EQ(after("Retry-After", "Wed, 21 Oct 2015 07:27:30 GMT"), absl::ZeroDuration());
  EXPECT_EQ(after("x-ms-retry-after-ms", "250"), absl::Milliseconds(250));
  for (const char* nonsense : {"", "-1", "soon", "99999999999999999999999"}) {
    EXPECT_EQ(after("Retry-After", nonsense), std::nullopt) << nonsense;
  }
}

TEST(RetryPolicyTest, BacksOffExponentiallyWithFullJitter) {
  RetryOptions options;
  options.first_delay = absl::Milliseconds(100);
  options.max_delay = absl::Seconds(1);
  const absl::StatusOr<HttpResponse> failed = absl::UnavailableError("");
  const auto delay = [&](int attempt, double random) {
    return RetryDelay(options, attempt, failed, absl::Now(), random);
  };
  EXPECT_EQ(delay(1, 0), absl::ZeroDuration());
  EXPECT_EQ(delay(1, 0.5), absl::Milliseconds(50));
  EXPECT_EQ(delay(3, 0.5), absl::Milliseconds(200));
  EXPECT_EQ(delay(100, 0.5), absl::Milliseconds(500));
  const absl::StatusOr<HttpResponse> busy = Answer(503, {{"Retry-After", "5"}});
  EXPECT_EQ(RetryDelay(options, 1, busy, absl::Now(), 0.5), absl::Milliseconds(5050));
  const absl::StatusOr<HttpResponse> for_ever = Answer(503, {{"Retry-After", "100000"}});
  EXPECT_EQ(RetryDelay(options, 1, for_ever, absl::Now(), 0), options.max_retry_after);
}

}  // namespace
}  // namespace kvstore::azure
