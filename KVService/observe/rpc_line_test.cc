#include "KVService/observe/rpc_line.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace kvstore {
namespace {

using std::chrono::milliseconds;
using Time = std::chrono::system_clock::time_point;

const Time kNoon{milliseconds{1'769'860'800'123}};

std::string Line(const RpcRecord& record, Time time = kNoon) {
  std::string line = "before ";
  AppendRpcLine(record, time, &line);
  EXPECT_TRUE(line.starts_with("before "));
  return line.substr(7);
}

RpcRecord Read() {
  RpcRecord record;
  record.rpc = "Read";
  record.code = "OK";
  record.storage_us = 30;
  record.total_us = 41;
  record.blocks = 1;
  record.found = 1;
  record.bytes = 1'258'291;
  return record;
}

// The documents give it; programs read it.
TEST(RpcLineTest, HasTheFormThatIsDocumented) {
  RpcRecord record = Read();
  record.completion_id = "chat-7";
  record.identity = "team-a";
  auto origin = std::make_shared<Origin>(Origin{*RequestId::Parse("1f0c"), {}, {}});
  origin->trace = *ParseTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  record.origin = origin;
  EXPECT_EQ(Line(record), R"({"time":"2026-01-31T12:00:00.123Z","rpc":"Read","code":"OK",)"
                          R"("storage_latency_us":30,"total_latency_us":41,"overhead_us":11,)"
                          R"("blocks":1,"found":1,"bytes":1258291,"completion_id":"chat-7",)"
                          R"("identity":"team-a","request_id":"1f0c",)"
                          R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"})"
                          "\n");
}

TEST(RpcLineTest, LeavesOutWhatThereIsNot) {
  EXPECT_EQ(Line(Read()), R"({"time":"2026-01-31T12:00:00.123Z","rpc":"Read","code":"OK",)"
                          R"("storage_latency_us":30,"total_latency_us":41,"overhead_us":11,)"
                          R"("blocks":1,"found":1,"bytes":1258291})"
                          "\n");
}

TEST(RpcLineTest, IsOneLineOfJsonWhateverACallerSends) {
  for (const std::string& text :
       {std::string("two\nlines"), std::string("\"quoted\" \\ \x7f"), std::string("\0null", 5),
        std::string("ein Wörtchen"), std::string("…")}) {
    RpcRecord record = Read();
    record.completion_id = text;
    const std::string line = Line(record);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_EQ(nlohmann::json::parse(line)["completion_id"], text);
  }
  RpcRecord record = Read();
  record.completion_id = "no UTF-8: \xff";
  EXPECT_EQ(nlohmann::json::parse(Line(record))["completion_id"], "no UTF-8: \xef\xbf\xbd");
}

TEST(RpcLineTest, TellsTheTimeInUtcToTheMillisecond) {
  const auto time = [](int64_t ms) {
    return nlohmann::json::parse(Line(Read(), Time(milliseconds(ms))))["time"].get<std::string>();
  };
  EXPECT_EQ(time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(time(1'769'860'800'009), "2026-01-31T12:00:00.009Z");
  EXPECT_EQ(time(1'769'860'800'090), "2026-01-31T12:00:00.090Z");
  EXPECT_EQ(time(1'769'860'799'999), "2026-01-31T11:59:59.999Z") << "back, too";
  EXPECT_EQ(time(1'835'395'199'000), "2028-02-28T23:59:59.000Z");
  EXPECT_EQ(time(1'835'395'200'000), "2028-02-29T00:00:00.000Z");
}

}  // namespace
}  // namespace kvstore
