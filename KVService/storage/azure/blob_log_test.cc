// The shared log on Azurite: several logs on one container stand for several servers.
#include "KVService/storage/azure/blob_log.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "KVService/http/curl_http_client.h"
#include "KVService/storage/azure/azurite.h"
#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/log_compaction.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"

namespace kvstore::azure {
namespace {

using testing::Azurite;

constexpr absl::Duration kLong = absl::Seconds(60);

// A wall clock that can be set.
struct SettableClock {
  void Set(absl::Duration ahead) { ahead_ns = absl::ToInt64Nanoseconds(ahead); }
  std::function<absl::Time()> Now() {
    return [this] { return absl::Now() + absl::Nanoseconds(ahead_ns.load()); };
  }
  std::atomic<int64_t> ahead_ns = 0;
};

BlobLogOptions Quick() {
  BlobLogOptions options;
  options.poll = absl::Milliseconds(50);
  options.compact_after = absl::Milliseconds(200);
  return options;
}

// A way on which every so many-th read of a range breaks.
class Stumbling : public HttpClient {
 public:
  explicit Stumbling(HttpClient* way, int every = 2) : way_(way), every_(every) {}
  CallId Send(HttpRequest request, Done done) override {
    if (FindHeader(request.headers, "x-ms-range") != nullptr && ++reads_ % every_ == 0) {
      std::move(done)(absl::UnavailableError("stumbled"));
      return 0;
    }
    return way_->Send(std::move(request), std::move(done));
  }
  void Cancel(CallId call) override { way_->Cancel(call); }
  void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) override {
    way_->RunAfter(delay, std::move(done));
  }
  void Shutdown() override {}
  bool OnClientThread() const override { return way_->OnClientThread(); }

 private:
  HttpClient* const way_;
  const int every_;
  std::atomic<int> reads_ = 0;
};

// A way on which ranges of more than `most` bytes take too long.
class Sluggish : public Stumbling {
 public:
  Sluggish(HttpClient* way, uint64_t most) : Stumbling(way, INT_MAX), most_(most) {}
  CallId Send(HttpRequest request, Done done) override {
    unsigned long long first = 0, last = 0;  // NOLINT(google-runtime-int): scanf's
    const std::string* range = FindHeader(request.headers, "x-ms-range");
    if (range != nullptr && std::sscanf(range->c_str(), "bytes=%llu-%llu", &first, &last) == 2 &&
        last - first + 1 > most_) {
      ++refused;
      std::move(done)(absl::DeadlineExceededError("no answer yet"));
      return 0;
    }
    return Stumbling::Send(std::move(request), std::move(done));
  }

  std::atomic<int> refused = 0;

 private:
  const uint64_t most_;
};

// What one server knows by its log.
class Server {
 public:
  Server(std::shared_ptr<BlobContainer> container, const BlobLogOptions& options)
      : log(
            std::move(container), "", options,
            [this](std::vector<LogRecord> records) { Hear(std::move(records)); },
            [this](const auto&) {
              listed = true;
              return absl::OkStatus();
            }) {}

  void Put(const std::string& name) { Append({LogRecord::Kind::kPut, name, "attr", 5}); }
  void Delete(const std::string& name) { Append({LogRecord::Kind::kDelete, name, "", 0}); }

  absl::Status WaitUntilRead() {
    return AwaitStatus([this](auto done) { log.WhenRead(std::move(done)); });
  }

  // Whether it comes to know just these.
  bool Knows(const std::set<std::string>& wanted) {
    absl::MutexLock lock(&mutex_);
    const auto equal = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return names_ == wanted; };
    return mutex_.AwaitWithTimeout(absl::Condition(&equal), kLong);
  }

  std::atomic<bool> listed = false;

 private:
  void Append(LogRecord record) {
    const absl::Status status =
        AwaitStatus([&](auto done) { log.Append(std::move(record), std::move(done)); });
    EXPECT_TRUE(status.ok()) << status;
  }

  void Hear(std::vector<LogRecord> records) {
    absl::MutexLock lock(&mutex_);
    for (const LogRecord& record : records) {
      if (record.kind == LogRecord::Kind::kPut) {
        EXPECT_EQ(record.attributes, "attr");
        names_.insert(record.name);
      } else if (record.kind == LogRecord::Kind::kDelete) {
        names_.erase(record.name);
      }
    }
  }

  absl::Mutex mutex_;
  std::set<std::string> names_ ABSL_GUARDED_BY(mutex_);

 public:
  BlobLog log;  // last: it uses all of the above
};

class BlobLogTest : public ::testing::Test {
 protected:
  BlobLogTest() : http_(HttpClientOptions{}) {
    pipeline_ = Pipeline::Make(&http_, Azurite::SharedKey(), PipelineOptions{});
    container_ = std::make_shared<BlobContainer>(
        pipeline_, ContainerAddress{Azurite::Http().endpoint(), "log" + RandomHex(8)});
    folder_ = {container_.get(), "", absl::Seconds(10)};
  }

  void MakeContainer() {
    ASSERT_TRUE(AwaitStatus([&](auto done) {
                  container_->Create(absl::Now() + kLong, std::move(done));
                }).ok());
  }

  // Makes a container with a first log of batches of at least these sizes. What is in them.
  std::set<std::string> WriteLog(const std::vector<size_t>& batches) {
    MakeContainer();
    EXPECT_TRUE(AwaitStatus([&](auto done) {
                  container_->CreateAppendBlob(LogName(1), absl::Now() + kLong, std::move(done));
                }).ok());
    std::set<std::string> all;
    for (const size_t size : batches) {
      std::string payload;
      while (payload.size() < size) {
        const std::string name = std::string(100, 'b') + std::to_string(all.size());
        AppendLogRecord({LogRecord::Kind::kPut, name, "attr", 5}, &payload);
        all.insert(name);
      }
      EXPECT_TRUE(Await<uint64_t>([&](auto done) {
                    container_->Append(LogName(1), Slice::CopyOf(AsBytes(LogBatch(payload))),
                                       std::nullopt, absl::Now() + kLong, std::move(done));
                  }).ok());
    }
    return all;
  }

  std::unique_ptr<Server> Start(const BlobLogOptions& options = Quick()) {
    auto server = std::make_unique<Server>(container_, options);
    EXPECT_TRUE(server->WaitUntilRead().ok());
    return server;
  }

  // Whether only the youngest generation is left, and a snapshot before it. Or several: who finds
  // at the very end that another was faster leaves his for the next compaction to delete.
  bool WaitUntilCompacted() {
    std::string left;
    for (const absl::Time end = absl::Now() + kLong; absl::Now() < end;) {
      const auto files = folder_.List();
      int logs = 0, snapshots = 0;
      left.clear();
      for (const auto& [name, file] : *files) {
        ++(file.snapshot ? snapshots : logs);
        left += " " + name;
      }
      if (logs == 1 && snapshots >= 1) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    ADD_FAILURE() << "not compacted:" << left;
    return false;
  }

  CurlHttpClient http_;
  std::shared_ptr<Pipeline> pipeline_;
  std::shared_ptr<BlobContainer> container_;
  LogFolder folder_;
};

TEST_F(BlobLogTest, AContainerThatIsNotThereIsEmptyAndUpToDate) {
  auto server = Start();
  EXPECT_TRUE(server->log.UpToDate());
  EXPECT_TRUE(server->Knows({}));
  EXPECT_TRUE(folder_.List()->empty()) << "reading makes nothing";
}

TEST_F(BlobLogTest, ServersHearOfEachOthersBlobs) {
  MakeContainer();
  auto a = Start(), b = Start();
  a->Put("x");
  b->Put("y");
  EXPECT_TRUE(a->Knows({"x", "y"}));
  EXPECT_TRUE(b->Knows({"x", "y"}));
  b->Delete("x");
  EXPECT_TRUE(a->Knows({"y"}));
  EXPECT_TRUE(b->Knows({"y"}));
  auto late = Start();
  EXPECT_TRUE(late->Knows({"y"}));
}

TEST_F(BlobLogTest, AServerWhoseClockWasSetBackGoesOnHearing) {
  MakeContainer();
  const auto one = Start();
  SettableClock clock;
  clock.Set(absl::Hours(2));
  BlobLogOptions options = Quick();
  options.now = clock.Now();
  const auto two = Start(options);
  one->Put("before");
  EXPECT_TRUE(two->Knows({"before"}));
  clock.Set(absl::ZeroDuration());
  one->Put("after");
  EXPECT_TRUE(two->Knows({"before", "after"}));
}

TEST_F(BlobLogTest, ALogOfWhichEverySecondReadFailsIsReadToItsEnd) {
  const std::set<std::string> all = WriteLog(std::vector<size_t>(6, 1'000'000));  // several reads
  Stumbling stumbling(&http_);
  PipelineOptions once;
  once.retry.max_attempts = 1;
  const auto way = Pipeline::Make(&stumbling, Azurite::SharedKey(), once);
  Server server(std::make_shared<BlobContainer>(way, container_->address()), Quick());
  EXPECT_TRUE(server.Knows(all));
}

TEST_F(BlobLogTest, ALogOfWhichLargeReadsTakeTooLongIsReadInSmallerPieces) {
  std::vector<size_t> batches(40, 20'000);
  batches[20] = 300'000;  // larger than the pieces that the others come in
  const std::set<std::string> all = WriteLog(batches);
  Sluggish sluggish(&http_, 512 << 10);
  PipelineOptions once;
  once.retry.max_attempts = 1;
  const auto way = Pipeline::Make(&sluggish, Azurite::SharedKey(), once);
  Server server(std::make_shared<BlobContainer>(way, container_->address()), Quick());
  EXPECT_TRUE(server.Knows(all));
  EXPECT_GT(sluggish.refused, 0);
}

// Held up in a poll for long, say: what it knows is old then, whatever the clock says.
TEST_F(BlobLogTest, AServerWhoseClockWasSetBackIsNotUpToDateByPollsOfTheFuture) {
  MakeContainer();
  SettableClock clock;
  BlobLogOptions options = Quick();
  options.poll = kLong;
  options.now = clock.Now();
  const auto server = Start(options);
  EXPECT_TRUE(server->log.UpToDate());
  clock.Set(-options.stale - absl::Seconds(1));
  EXPECT_FALSE(server->log.UpToDate());
}

TEST_F(BlobLogTest, SixteenWritersLoseNothing) {
  MakeContainer();
  constexpr int kServers = 16, kEach = 20;
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < kServers; ++i) servers.push_back(Start());
  std::set<std::string> all;
  std::vector<std::thread> threads;
  for (int i = 0; i < kServers; ++i) {
    for (int n = 0; n < kEach; ++n) all.insert(std::to_string(i) + "-" + std::to_string(n));
    threads.emplace_back([&servers, i] {
      for (int n = 0; n < kEach; ++n) servers[i]->Put(std::to_string(i) + "-" + std::to_string(n));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& server : servers) EXPECT_TRUE(server->Knows(all));
}

TEST_F(BlobLogTest, RollsIsCompactedByRacersAndReadAgain) {
  MakeContainer();
  BlobLogOptions options = Quick();
  options.roll_bytes = 4000;  // some 30 records
  auto a = Start(options), b = Start(options);
  std::set<std::string> all;
  // How soon they roll depends on when they poll.
  for (int i = 0; i < 2000 && a->log.stats().generation <= 3; ++i) {
    const std::string name = "block-" + std::to_string(i);
    (i % 2 ? a : b)->Put(name);
    all.insert(name);
    if (i % 3 == 0) {
      const std::string gone = "block-" + std::to_string(i / 2);
      (i % 2 ? b : a)->Delete(gone);
      all.erase(gone);
    }
    if (i % 40 == 39) {
      EXPECT_TRUE(a->Knows(all));  // so that it sees how far the log is
    }
  }
  EXPECT_TRUE(a->Knows(all));
  EXPECT_TRUE(b->Knows(all));
  EXPECT_GT(a->log.stats().generation, 3u);
  EXPECT_TRUE(WaitUntilCompacted());
  const auto compactions = [&] { return a->log.stats().compactions + b->log.stats().compactions; };
  // Counted once the generation is gone, which is what was waited for.
  for (const absl::Time end = absl::Now() + kLong; compactions() < 2 && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_GE(compactions(), 2u);
  auto late = Start(options);
  EXPECT_TRUE(late->Knows(all));
  a->Put("more");
  all.insert("more");
  EXPECT_TRUE(late->Knows(all));
  EXPECT_TRUE(b->Knows(all));
  EXPECT_FALSE(late->listed);
}

// Who restarts where reading takes long may die before it has read, and must not take along what it
// has acknowledged meanwhile.
TEST_F(BlobLogTest, ALogThatCannotBeReadIsStillWrittenTo) {
  MakeContainer();
  auto reader = Start();
  reader->Put("before");
  Stumbling stumbling(&http_, /*every=*/1);
  auto pipeline = Pipeline::Make(&stumbling, Azurite::SharedKey(), PipelineOptions{});
  BlobLogOptions options = Quick();
  options.request_timeout = absl::Milliseconds(300);
  Server blind(std::make_shared<BlobContainer>(pipeline, container_->address()), options);
  EXPECT_FALSE(blind.WaitUntilRead().ok());
  AwaitStatus([&](auto done) {
    blind.log.Append({LogRecord::Kind::kPut, "blindly", "attr", 5}, std::move(done));
  }).IgnoreError();  // there or on its way
  EXPECT_TRUE(reader->Knows({"before", "blindly"}));
  EXPECT_FALSE(blind.log.UpToDate());
}

// Many appends are enough as long as the snapshot is small beside them.
TEST_F(BlobLogTest, RollsEarlyWhereThatCostsLittle) {
  MakeContainer();
  BlobLogOptions options = Quick();
  options.roll_early_batches = 20;
  auto a = Start(options);
  std::set<std::string> all;
  const auto fill_generation = [&](uint64_t generation, const std::string& names) {
    int appends = 0;
    for (; appends < 500 && a->log.stats().generation <= generation; ++appends) {
      all.insert(names + std::to_string(appends));
      a->Put(names + std::to_string(appends));
      EXPECT_TRUE(a->Knows(all));  // so that it sees how far the log is
    }
    return appends;
  };
  EXPECT_LT(fill_generation(1, std::string(400, 'x')), 30);
  EXPECT_TRUE(WaitUntilCompacted());
  EXPECT_GT(fill_generation(2, "short-"), 35);  // a quarter of the first's bytes
  EXPECT_EQ(a->log.stats().generation, 3u);
  auto late = Start(options);
  EXPECT_TRUE(late->Knows(all));
}

TEST_F(BlobLogTest, ACompactionThatDiedIsDoneAgain) {
  MakeContainer();
  BlobLogOptions options = Quick();
  options.compact_after = absl::InfiniteDuration();
  options.roll_bytes = 1000;
  std::set<std::string> all;
  {
    auto a = Start(options);
    for (int i = 0; i < 10; ++i) {
      a->Put("block-" + std::to_string(i));
      all.insert("block-" + std::to_string(i));
      EXPECT_TRUE(a->Knows(all));  // so that it sees how far the log is
    }
  }
  // As one that dies leaves it: a snapshot without its end, and one that ends too soon.
  for (const uint64_t length : {uint64_t{10}, uint64_t{1} << 40}) {
    const std::string name = SnapshotName(2, length, "dead");
    ASSERT_TRUE(AwaitStatus([&](auto done) {
                  container_->CreateAppendBlob(name, absl::Now() + kLong, std::move(done));
                }).ok());
    std::string payload;
    AppendLogRecord({LogRecord::Kind::kPut, "block-1", "attr", 5}, &payload);
    if (length == 10) AppendLogRecord({LogRecord::Kind::kEnd, "", "", 0}, &payload);
    ASSERT_TRUE(Await<uint64_t>([&](auto done) {
                  container_->Append(name, Slice::CopyOf(AsBytes(LogBatch(payload))), std::nullopt,
                                     absl::Now() + kLong, std::move(done));
                }).ok());
  }
  EXPECT_TRUE(Start(options)->Knows(all));
  const std::atomic<bool> stop = false;
  ASSERT_TRUE(Compact(folder_, 1, stop).ok());
  EXPECT_TRUE(Compact(folder_, 1, stop).ok()) << "done already";
  auto late = Start(options);
  EXPECT_TRUE(late->Knows(all));
  EXPECT_FALSE(late->listed);
}

// One that died in the middle leaves its lease, and what it had written.
TEST_F(BlobLogTest, OnlyOneCompactsUntilItsLeaseRunsOut) {
  MakeContainer();
  BlobLogOptions options = Quick();
  options.compact_after = absl::InfiniteDuration();
  options.roll_bytes = 100;
  auto a = Start(options);
  a->Put("block-1");
  ASSERT_TRUE(a->Knows({"block-1"}));
  a->Put("block-2");  // in the next generation
  ASSERT_TRUE(a->Knows({"block-1", "block-2"}));
  const std::string lease(kCompactionLease);
  ASSERT_TRUE(AwaitStatus([&](auto done) {
                container_->CreateAppendBlob(lease, absl::Now() + kLong, std::move(done));
              }).ok());
  ASSERT_TRUE(AwaitStatus([&](auto done) {
                container_->AcquireLease(lease, "00000000-0000-0000-0000-0000000000aa", 15,
                                         absl::Now() + kLong, std::move(done));
              }).ok());
  const std::atomic<bool> stop = false;
  const absl::Status refused = Compact(folder_, 1, stop);
  EXPECT_TRUE(absl::IsAborted(refused)) << refused;
  absl::Status compacted = refused;
  for (const absl::Time end = absl::Now() + absl::Seconds(40);
       absl::IsAborted(compacted) && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(500));
    compacted = Compact(folder_, 1, stop);
  }
  EXPECT_TRUE(compacted.ok()) << compacted;
  auto late = Start(options);
  EXPECT_TRUE(late->Knows({"block-1", "block-2"}));
  EXPECT_FALSE(late->listed);
  // It was given back.
  EXPECT_TRUE(AwaitStatus([&](auto done) {
                container_->AcquireLease(lease, "00000000-0000-0000-0000-0000000000bb", 15,
                                         absl::Now() + kLong, std::move(done));
              }).ok());
}

TEST_F(BlobLogTest, ALogThatGrowsIsNotCompactedAway) {
  MakeContainer();
  auto a = Start();
  a->Put("x");
  ASSERT_TRUE(a->Knows({"x"}));
  // An append between the reading and the deletion changes the ETag.
  const auto before = Await<BlobProperties>(
      [&](auto done) { container_->Properties(LogName(1), absl::Now() + kLong, std::move(done)); });
  a->Put("y");
  const absl::Status deleted = AwaitStatus([&](auto done) {
    container_->Delete(LogName(1), before->etag, absl::Now() + kLong, std::move(done));
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(deleted)) << deleted;
}

TEST_F(BlobLogTest, AServerThatSleptThroughACompactionCatchesUp) {
  MakeContainer();
  BlobLogOptions sleepy = Quick();
  sleepy.poll = absl::Seconds(2);
  BlobLogOptions options = Quick();
  options.roll_bytes = 1000;
  auto sleeper = Start(sleepy);
  std::set<std::string> all;
  {
    auto a = Start(options);
    for (int i = 0; i < 40; ++i) {
      a->Put("block-" + std::to_string(i));
      all.insert("block-" + std::to_string(i));
      if (i % 5 == 0) absl::SleepFor(absl::Milliseconds(60));
    }
    EXPECT_TRUE(WaitUntilCompacted());
  }
  EXPECT_TRUE(sleeper->Knows(all));
  // To a generation that is no longer there.
  sleeper->log.Append({LogRecord::Kind::kPut, "late", "attr", 5}, [](absl::Status) {});
  all.insert("late");
  EXPECT_TRUE(sleeper->Knows(all));
  EXPECT_TRUE(Start()->Knows(all));
}

TEST_F(BlobLogTest, WhileItIsAwayRecordsAreKeptAndCallersAreTold) {
  auto nobody = std::make_shared<BlobContainer>(
      pipeline_, ContainerAddress{"http://127.0.0.1:1/devstoreaccount1", "box"});
  BlobLogOptions options = Quick();
  options.request_timeout = absl::Milliseconds(200);
  options.max_queued_bytes = 2000;
  Server server(nobody, options);
  EXPECT_TRUE(absl::IsUnavailable(server.WaitUntilRead()));
  EXPECT_FALSE(server.log.UpToDate());
  for (int i = 0; i < 100; ++i) {
    const absl::Status status = AwaitStatus([&](auto done) {
      server.log.Append({LogRecord::Kind::kPut, "x", "", 1}, std::move(done));
    });
    EXPECT_FALSE(status.ok());
  }
  EXPECT_GT(server.log.stats().records_dropped, 0u);
  EXPECT_GT(server.log.stats().queued_records, 0u);
  EXPECT_LT(server.log.stats().queued_records, 100u);
}

TEST_F(BlobLogTest, ASnapshotThatWasLostIsMadeUpForByListing) {
  MakeContainer();
  ASSERT_TRUE(AwaitStatus([&](auto done) {
                container_->CreateAppendBlob(LogName(3), absl::Now() + kLong, std::move(done));
              }).ok());
  EXPECT_TRUE(Start()->listed);
}

}  // namespace
}  // namespace kvstore::azure
