// The store on Azurite behind a proxy that fails: no wrong byte, no acknowledged put lost.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "KVService/http/test_dns.h"
#include "KVService/storage/azure/azure_store_testing.h"
#include "KVService/storage/azure/fault_proxy.h"
#include "KVService/storage/blob_store_testing.h"

namespace kvstore::testing {
namespace {

class AzureFaultsTest : public ::testing::Test {
 protected:
  AzureFaultsTest()
      : proxy_(Azurite::Http(), [this](const TestRequest& request) { return Choose(request); }),
        resolver_(proxy_.endpoint(), Azurite::SharedKey(), "c" + azure::RandomHex(8)),
        store_(&http_, &resolver_, Options()) {}

  static AzureOptions Options() {
    AzureOptions options;
    options.pipeline.retry.first_delay = absl::Milliseconds(2);
    options.pipeline.retry.max_delay = absl::Milliseconds(50);
    options.pipeline.retry.max_attempts = 30;
    options.pipeline.attempt_timeout = absl::Seconds(3);
    return options;
  }

  // The faults for the next requests of that method; none when they are used up.
  void FailNext(const std::string& method, std::vector<Fault> faults) {
    absl::MutexLock lock(&mutex_);
    method_ = method;
    faults_.assign(faults.rbegin(), faults.rend());
  }
  // From now on one in that many requests fails, each in another way.
  void FailOneIn(int requests) {
    absl::MutexLock lock(&mutex_);
    one_in_ = requests;
  }

  Fault Choose(const TestRequest& request) {
    absl::MutexLock lock(&mutex_);
    if (!faults_.empty() && request.method == method_ &&
        request.target.find("restype=container") == std::string::npos) {
      const Fault fault = faults_.back();
      faults_.pop_back();
      return fault;
    }
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    if (one_in_ == 0 || (random_ >> 33) % one_in_ != 0) return Fault::kNone;
    // All but kStall, that takes its time.
    return static_cast<Fault>((random_ >> 40) % static_cast<int>(Fault::kStall));
  }

  absl::Mutex mutex_;
  std::string method_ ABSL_GUARDED_BY(mutex_);
  std::vector<Fault> faults_ ABSL_GUARDED_BY(mutex_);
  int one_in_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t random_ ABSL_GUARDED_BY(mutex_) = 1;
  FaultProxy proxy_;
  CurlHttpClient http_{FaultProxy::ClientOptions()};
  OneContainerResolver resolver_;
  AzureBlobStore store_;
};

TEST_F(AzureFaultsTest, APutSucceedsInSpiteOfEachFault) {
  int n = 0;
  for (Fault fault : {Fault::kNone, Fault::kDelay, Fault::kResetBefore, Fault::kResetInRequest,
                      Fault::kLoseAnswer, Fault::kTruncateAnswer, Fault::kCorruptRequest,
                      Fault::kBusy, Fault::kThrottle, Fault::kFail, Fault::kDropDns}) {
    // Twice, so that the second meets the retry.
    FailNext("PUT", {fault, fault});
    const Blob blob = MakeBlob(1258291, n);
    const BlobId id = Id(std::to_string(n++));
    const absl::Status status = PutNow(store_, id, blob);
    EXPECT_TRUE(status.ok()) << static_cast<int>(fault) << status;
    EXPECT_TRUE(Holds(store_, id, blob));
    EXPECT_TRUE(absl::IsAlreadyExists(PutNow(store_, id, blob)));
  }
  EXPECT_EQ(store_.Usage().blobs, n);
}

TEST_F(AzureFaultsTest, AGetSucceedsInSpiteOfEachFault) {
  const Blob blob = MakeBlob(1258291, 1, "attributes");
  ASSERT_TRUE(PutNow(store_, Id("a"), blob).ok());
  for (Fault fault :
       {Fault::kDelay, Fault::kResetBefore, Fault::kLoseAnswer, Fault::kTruncateAnswer,
        Fault::kCorruptAnswer, Fault::kBusy, Fault::kThrottle, Fault::kFail, Fault::kDropDns}) {
    FailNext("GET", {fault});
    EXPECT_TRUE(Holds(store_, Id("a"), blob)) << static_cast<int>(fault);
  }
  // Damaged otherwise each time, so not where it is stored.
  FailNext("GET", {Fault::kCorruptAnswer, Fault::kCorruptAnswer});
  EXPECT_TRUE(Holds(store_, Id("a"), blob));
  FailNext("GET", std::vector<Fault>(20, Fault::kCorruptAnswer));
  EXPECT_TRUE(absl::IsUnavailable(GetNow(store_, Id("a")).status()));
}

// Late and within the deadline is right: it must be waited for, and not be done twice.
TEST_F(AzureFaultsTest, ALateAnswerIsTakenAndNotAskedForAgain) {
  const Blob blob = MakeBlob(1000, 1);
  ASSERT_TRUE(PutNow(store_, Id("first"), blob).ok());  // makes the container
  for (const std::string method : {"PUT", "GET"}) {
    FailNext(method, {Fault::kDelay});
    const int requests = proxy_.requests();
    const absl::Time begin = absl::Now();
    if (method == "PUT") {
      EXPECT_TRUE(PutNow(store_, Id("a"), blob).ok());
    } else {
      EXPECT_TRUE(Holds(store_, Id("a"), blob));
    }
    EXPECT_GE(absl::Now() - begin, kFaultDelay) << method;
    EXPECT_EQ(proxy_.requests() - requests, 1) << method;
  }
}

// The service has not seen the request, and what it has is not half of a blob.
TEST_F(AzureFaultsTest, ARequestCutInItsBodyLeavesNothing) {
  ASSERT_TRUE(PutNow(store_, Id("first"), MakeBlob(1000, 0)).ok());
  // The client sends again by itself where a kept connection breaks.
  FailNext("PUT",
           std::vector<Fault>(2 * Options().pipeline.retry.max_attempts, Fault::kResetInRequest));
  const Blob blob = MakeBlob(8 << 20, 1);  // more than sockets take ahead
  EXPECT_TRUE(absl::IsUnavailable(PutNow(store_, Id("a"), blob)));
  FailNext("PUT", {});
  EXPECT_TRUE(absl::IsNotFound(GetNow(store_, Id("a")).status()));
  EXPECT_TRUE(PutNow(store_, Id("a"), blob).ok());
  EXPECT_TRUE(Holds(store_, Id("a"), blob));
}

TEST_F(AzureFaultsTest, AStalledServiceIsAskedAgainOrGivenUp) {
  const Blob blob = MakeBlob(1000, 1);
  ASSERT_TRUE(PutNow(store_, Id("a"), blob).ok());
  FailNext("GET", {Fault::kStall});
  EXPECT_TRUE(Holds(store_, Id("a"), blob));
  FailNext("GET", {Fault::kStall});
  const absl::Time begin = absl::Now();
  const auto late = GetAsync(store_, Id("a"), begin + absl::Milliseconds(200)).get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
}

// Connections that are there go on; new ones wait for the name as they do for a busy service.
TEST_F(AzureFaultsTest, NamesThatDoNotResolveCostNothingButTime) {
  const Blob blob = MakeBlob(1000, 1);
  ASSERT_TRUE(PutNow(store_, Id("a"), blob).ok());
  for (const Dns mode : {Dns::kFails, Dns::kStalls}) {
    SetDns(mode);
    EXPECT_TRUE(Holds(store_, Id("a"), blob));
    FailNext("GET", {Fault::kResetBefore});
    auto late = GetAsync(store_, Id("a"), absl::Now() + absl::Milliseconds(300)).get();
    EXPECT_TRUE(absl::IsUnavailable(late.status()) || absl::IsDeadlineExceeded(late.status()))
        << late.status();
    auto waits = GetAsync(store_, Id("a"), absl::Now() + absl::Seconds(30));
    EXPECT_EQ(waits.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
    SetDns(Dns::kAnswers);
    const auto got = waits.get();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE(SameBlob(*got, blob));
  }
}

TEST_F(AzureFaultsTest, ADeleteAndAListingSurvive) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(PutNow(store_, Id(std::to_string(i)), MakeBlob(100, i)).ok());
  }
  int n = 0;
  for (Fault fault : {Fault::kResetBefore, Fault::kLoseAnswer, Fault::kBusy, Fault::kFail}) {
    FailNext("DELETE", {fault});
    const absl::Status status = DeleteNow(store_, Id(std::to_string(n++)));
    EXPECT_TRUE(status.ok()) << static_cast<int>(fault) << status;
  }
  EXPECT_EQ(store_.Usage().blobs, 6);
  FailNext("GET", {Fault::kTruncateAnswer, Fault::kBusy, Fault::kResetBefore});
  std::set<std::string> names;
  EXPECT_TRUE(store_.List([&](BlobInfo info) { names.insert(info.id.name); }).ok());
  EXPECT_EQ(names.size(), 6);
}

TEST_F(AzureFaultsTest, UnderManyFaultsNothingIsWrongAndNothingLost) {
  FailOneIn(4);
  std::atomic<int> wrong = 0, failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const BlobId id = Id(std::to_string(t) + "-" + std::to_string(i));
        const Blob blob = MakeBlob(20000, t * 1000 + i);
        // Nobody else has the name, so that ALREADY_EXISTS would be our own blob misjudged.
        if (!PutNow(store_, id, blob).ok()) ++failed;
        const absl::StatusOr<Blob> got = GetNow(store_, id);
        if (got.ok() && !SameBlob(*got, blob)) ++wrong;
        // Twice damaged on its way: rare, and an error.
        if (!got.ok() && !absl::IsDataLoss(got.status())) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(failed, 0);
  FailOneIn(0);
  for (int t = 0; t < 6; ++t) {
    for (int i = 0; i < 25; ++i) {
      EXPECT_TRUE(Holds(store_, Id(std::to_string(t) + "-" + std::to_string(i)),
                        MakeBlob(20000, t * 1000 + i)));
    }
  }
  EXPECT_EQ(store_.Usage().blobs, 150);
}

}  // namespace
}  // namespace kvstore::testing
