#include "KVPlayground/trace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "KVCommon/digest.h"

namespace kvstore::playground {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(TraceFile, TakesARequest) {
  Trace trace;
  ASSERT_TRUE(ParseTraceLine(R"({"timestamp": 27, "input_length": 1300, "output_length": 5,
                                 "hash_ids": [0, 46, 47], "type": "text"})",
                             512, &trace)
                  .ok());
  ASSERT_EQ(trace.requests.size(), 1u);
  EXPECT_EQ(trace.requests[0].timestamp_ms, 27);
  EXPECT_EQ(trace.requests[0].input_length, 1300u);
  EXPECT_THAT(trace.IdsOf(trace.requests[0]), ElementsAre(0, 46, 47));
}

struct BadLine {
  const char* json;
  const char* message;
};

class BadTraceLine : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadTraceLine, IsRefusedAndLeavesTheTraceAsItWas) {
  Trace trace;
  const absl::Status status = ParseTraceLine(GetParam().json, 512, &trace);
  ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << GetParam().json;
  EXPECT_THAT(MessageOf(status), HasSubstr(GetParam().message));
  EXPECT_TRUE(trace.requests.empty());
  EXPECT_TRUE(trace.ids.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTraceLine,
    ::testing::Values(
        BadLine{"{\"timestamp\": 0,", "column 17"}, BadLine{"[]", "expected an object"},
        BadLine{"{\"input_length\": 1, \"hash_ids\": [1]}", "timestamp: the key is missing"},
        BadLine{"{\"timestamp\": 0, \"hash_ids\": [1]}", "input_length: the key is missing"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1}", "hash_ids: the key is missing"},
        BadLine{"{\"timestamp\": \"x\", \"input_length\": 1, \"hash_ids\": [1]}",
                "timestamp: expected an integer, got \"x\""},
        BadLine{"{\"timestamp\": -1, \"input_length\": 1, \"hash_ids\": [1]}",
                "timestamp: expected 0 or more, got -1"},
        BadLine{"{\"timestamp\": 0.5, \"input_length\": 1, \"hash_ids\": [1]}", "got 0.5"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 0, \"hash_ids\": [1]}",
                "input_length: expected 1 or more, got 0"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 99999999999, \"hash_ids\": [1]}",
                "input_length: 99999999999 tokens are more"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 18446744073709551615, \"hash_ids\": [1]}",
                "is too large"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1, \"hash_ids\": []}", "the list is empty"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1, \"hash_ids\": 7}", "expected a list"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1, \"hash_ids\": [1, null]}",
                "hash_ids[1]: expected an integer, got null"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1, \"output_length\": -2, \"hash_ids\": [1]}",
                "output_length: expected 0 or more"},
        BadLine{"{\"timestamp\": 0, \"input_length\": 1025, \"hash_ids\": [1, 2]}",
                "hash_ids: 2 ids of 512 tokens cover 1024 tokens of an input_length of 1025"}));

TEST(TraceFile, TellsTheLineOfAnError) {
  const std::string path = ::testing::TempDir() + "/kv_bad_trace.jsonl";
  std::ofstream(path) << R"({"timestamp": 0, "input_length": 5, "hash_ids": [1]})"
                      << "\n\n"
                      << R"({"timestamp": 0, "input_length": 5, "hash_ids": ["a"]})"
                      << "\n";
  const auto trace = ReadTraceFile(path, 512, 0);
  EXPECT_THAT(MessageOf(trace.status()), HasSubstr("kv_bad_trace.jsonl:3: hash_ids[0]: expected"));
  // What the limit leaves out is not looked at.
  const auto first = ReadTraceFile(path, 512, 1);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->requests.size(), 1u);
}

TEST(TraceFile, RefusesATraceWithoutRequests) {
  const std::string path = ::testing::TempDir() + "/kv_empty_trace.jsonl";
  std::ofstream(path) << "\n \n";
  EXPECT_THAT(MessageOf(ReadTraceFile(path, 512, 0).status()), HasSubstr("has no requests"));
}

TEST(TraceExpansion, HasTheInputLengthAndSharesWhatTheIdsShare) {
  Trace trace;
  for (const char* line : {R"({"timestamp": 0, "input_length": 1300, "hash_ids": [0, 1, 2]})",
                           R"({"timestamp": 1, "input_length": 1536, "hash_ids": [0, 1, 3]})",
                           R"({"timestamp": 2, "input_length": 1536, "hash_ids": [9, 1, 2]})"}) {
    ASSERT_TRUE(ParseTraceLine(line, 512, &trace).ok());
  }
  std::vector<std::vector<Token>> tokens(3);
  for (size_t i = 0; i < 3; ++i) ExpandTokens(trace, trace.requests[i], 512, &tokens[i]);
  EXPECT_EQ(tokens[0].size(), 1300u);
  EXPECT_EQ(tokens[1].size(), 1536u);
  EXPECT_TRUE(std::equal(tokens[0].begin(), tokens[0].begin() + 1024, tokens[1].begin()));
  EXPECT_NE(tokens[0][1024], tokens[1][1024]);
  // The same id at the same place, behind another prefix: the same tokens, another digest.
  EXPECT_TRUE(std::equal(tokens[0].begin() + 512, tokens[0].end(), tokens[2].begin() + 512));
  EXPECT_NE(PrefixDigests(tokens[0])[5], PrefixDigests(tokens[2])[5]);
  // 1300 tokens: ten full blocks of 128, the tail is ignored.
  EXPECT_EQ(PrefixDigests(tokens[0]).size(), 10u);
}

TEST(TraceExpansion, NeverChangesFromOneVersionToTheNext) {
  Trace trace;
  ASSERT_TRUE(
      ParseTraceLine(R"({"timestamp": 0, "input_length": 4, "hash_ids": [7]})", 128, &trace).ok());
  std::vector<Token> tokens;
  ExpandTokens(trace, trace.requests[0], 128, &tokens);
  EXPECT_THAT(tokens, ElementsAre(5125, 121392, 120374, 122322));
}

}  // namespace
}  // namespace kvstore::playground
