#include "KVService/storage/azure/log_format.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kvstore::azure {
namespace {

LogRecord PutOf(const std::string& name) { return {LogRecord::Kind::kPut, name, "attributes", 7}; }

std::string BatchOf(const std::vector<LogRecord>& records) {
  std::string payload;
  for (const LogRecord& record : records) AppendLogRecord(record, &payload);
  return LogBatch(payload);
}

std::vector<std::string> NamesIn(const std::string& bytes, ParsedLog* parsed) {
  std::vector<std::string> names;
  *parsed =
      ParseLog(AsBytes(bytes), [&](const LogRecord& record) { names.push_back(record.name); });
  return names;
}

TEST(LogFormat, GivesBackWhatWasWritten) {
  std::vector<LogRecord> got;
  const std::string bytes =
      BatchOf({PutOf("a"), {LogRecord::Kind::kDelete, "b", "", 0}}) +
      BatchOf({{LogRecord::Kind::kRolled, "", "", 0}, {LogRecord::Kind::kEnd, "", "", 0}});
  const ParsedLog parsed =
      ParseLog(AsBytes(bytes), [&](LogRecord record) { got.push_back(std::move(record)); });
  EXPECT_EQ(parsed.consumed, bytes.size());
  EXPECT_EQ(parsed.batches, 2u);
  EXPECT_EQ(parsed.damaged, 0u);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].name, "a");
  EXPECT_EQ(got[0].attributes, "attributes");
  EXPECT_EQ(got[0].size, 7u);
  EXPECT_EQ(got[1].kind, LogRecord::Kind::kDelete);
  EXPECT_EQ(got[2].kind, LogRecord::Kind::kRolled);
  EXPECT_EQ(got[3].kind, LogRecord::Kind::kEnd);
}

TEST(LogFormat, LeavesABatchThatIsNotWhole) {
  const std::string first = BatchOf({PutOf("a")}), second = BatchOf({PutOf("b")});
  for (size_t cut = 0; cut < second.size(); ++cut) {
    ParsedLog parsed;
    EXPECT_EQ(NamesIn(first + second.substr(0, cut), &parsed), std::vector<std::string>{"a"});
    EXPECT_EQ(parsed.consumed, first.size());
  }
}

TEST(LogFormat, PassesOverDamageToTheNextBatch) {
  const std::string bytes = BatchOf({PutOf("a")}) + BatchOf({PutOf("b")}) + BatchOf({PutOf("c")});
  const size_t second = BatchOf({PutOf("a")}).size();
  for (size_t at = second; at < 2 * second; ++at) {
    for (const int bit : {0, 7}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      damaged += std::string(kMaxLogPayload, 'x');  // a size that grew must not swallow the rest
      ParsedLog parsed;
      const auto names = NamesIn(damaged, &parsed);
      EXPECT_EQ(names, (std::vector<std::string>{"a", "c"})) << at;
      EXPECT_GT(parsed.damaged, 0u);
    }
  }
}

TEST(LogFormat, StandsAnyBytes) {
  std::mt19937 random(1);
  const std::string good = BatchOf({PutOf("a"), PutOf("b")}) + BatchOf({PutOf("c")});
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (int n = random() % 6; n >= 0; --n)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    ParsedLog parsed;
    NamesIn(bytes, &parsed);
    EXPECT_LE(parsed.consumed, bytes.size());
  }
}

TEST(LogFormat, NamesSayWhatFilesAre) {
  const auto log = ParseLogFileName(LogName(12));
  ASSERT_TRUE(log);
  EXPECT_EQ(log->generation, 12u);
  EXPECT_FALSE(log->snapshot);
  const auto snapshot = ParseLogFileName(SnapshotName(3, 4567, "ab"));
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->snapshot);
  EXPECT_EQ(snapshot->generation, 3u);
  EXPECT_EQ(snapshot->length, 4567u);
  for (const char* other :
       {"kvlog/", "kvlog/x.log", "kvlog/1.snapshot", "1.log", "kvlog/1.2.3.log"}) {
    EXPECT_FALSE(ParseLogFileName(other)) << other;
  }
}

}  // namespace
}  // namespace kvstore::azure
