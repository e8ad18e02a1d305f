#include "KVPlayground/playground.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "KVPlayground/fake_store.h"
#include "KVPlayground/options.h"
#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Hands the calls on, so that the store outlives the run.
class BorrowedStore : public Store {
 public:
  explicit BorrowedStore(Store* store) : store_(store) {}
  absl::StatusOr<LookupAnswer> Lookup(std::string_view partition, std::span<const ::Token> tokens,
                                      const CallOptions& call) override {
    return store_->Lookup(partition, tokens, call);
  }
  std::vector<BlockAnswer> StreamingRead(std::span<const std::string> locations,
                                         std::span<const std::span<std::byte>> memory,
                                         const CallOptions& call) override {
    return store_->StreamingRead(locations, memory, call);
  }
  absl::StatusOr<WriteAnswer> WritePrompt(std::string_view partition,
                                          std::span<const ::Token> tokens, size_t first_block,
                                          std::span<const std::span<const std::byte>> buffers,
                                          const CallOptions& call) override {
    return store_->WritePrompt(partition, tokens, first_block, buffers, call);
  }

 private:
  Store* store_;
};

class PlaygroundTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(::testing::TempDir()) /
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  int Run(std::vector<std::string> arguments) {
    std::vector<const char*> argv = {"KVPlayground"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    out_.str("");
    err_.str("");
    return RunPlayground(
        static_cast<int>(argv.size()), argv.data(),
        {out_, err_, bar_, [this](ClientOptions options) {
           client_options_ = std::move(options);
           return absl::StatusOr<std::unique_ptr<Store>>(std::make_unique<BorrowedStore>(&store_));
         }});
  }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  std::string File(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name)) << content;
    return Path(name);
  }
  // One prompt of five full blocks and a tail.
  std::string TokensFile() const {
    nlohmann::json prompt = {{"text", ""}, {"token_count", 700}};
    for (int i = 0; i < 700; ++i) prompt["tokens"].push_back(i);
    nlohmann::json file;
    file["prompts"].push_back(prompt);
    return File("tokens.json", file.dump());
  }
  static nlohmann::json Json(const std::string& path) {
    std::ifstream file(path);
    return nlohmann::json::parse(file);
  }

  std::filesystem::path directory_;
  FakeStore store_;
  ClientOptions client_options_;
  bool bar_ = false;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(PlaygroundTest, PlaysConversationsAndReportsThem) {
  ASSERT_EQ(Run({TokensFile(), "4", "2", "--buffer-bytes", "100", "--json", Path("r.json")}), 0)
      << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("0.750000 (30 of 40 full blocks); ideal 0.750000"));
  EXPECT_THAT(out_.str(), HasSubstr("mismatches        0\n"));
  EXPECT_THAT(err_.str(), IsEmpty());

  const nlohmann::json report = Json(Path("r.json"));
  EXPECT_EQ(report["blocks_validated"], 30);
  EXPECT_EQ(report["mismatches"], 0);
  EXPECT_DOUBLE_EQ(report["hit_ratio"], 0.75);
  EXPECT_DOUBLE_EQ(report["ideal_hit_ratio"], 0.75);
  for (const char* operation : {"lookup", "read", "write"}) {
    const nlohmann::json& times = report["operations"][operation];
    EXPECT_EQ(times["errors"], 0);
    EXPECT_GT(times["count"], 0);
    for (const char* kind : {"", "server_", "network_"}) {
      for (const char* percentile : {"p50_us", "p90_us", "p99_us", "max_us"}) {
        EXPECT_GT(times.at(std::string(kind) + percentile), 0) << operation << kind << percentile;
      }
    }
  }
  EXPECT_EQ(report["operations"]["lookup"]["count"], 8);
  EXPECT_EQ(report["operations"]["read"]["count"], 30);
  EXPECT_EQ(report["operations"]["read"]["max_us"], 3000);
  EXPECT_EQ(report["operations"]["write"]["count"], 10);
  for (const char* key :
       {"read_bytes_per_s", "write_bytes_per_s", "tokens_per_s", "elapsed_seconds"}) {
    EXPECT_GT(report.at(key), 0) << key;
  }
  ASSERT_EQ(report["iterations"].size(), 4u);
  EXPECT_EQ(report["iterations"][0]["hit_ratio"], 0);
  EXPECT_EQ(report["iterations"][3]["hit_ratio"], 1);
  EXPECT_EQ(report["configuration"]["buffer_bytes"], 100);
  EXPECT_EQ(report["configuration"]["concurrency"], 2);
  // Nothing is left beside it.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 2);
}

TEST_F(PlaygroundTest, ReplaysATrace) {
  const std::string trace =
      File("t.jsonl", R"({"timestamp": 0, "input_length": 1024, "hash_ids": [0, 1]}
{"timestamp": 5, "input_length": 1000, "hash_ids": [0, 2]}
{"timestamp": 6, "input_length": 1000, "hash_ids": [0, 2]})");
  ASSERT_EQ(Run({"--trace", trace, "--concurrency", "3", "--json", Path("r.json")}), 0);
  const nlohmann::json report = Json(Path("r.json"));
  EXPECT_EQ(report["blocks"], 8 + 7 + 7);
  EXPECT_EQ(report["found"], 0 + 4 + 7);
  EXPECT_EQ(report["hit_ratio"], report["ideal_hit_ratio"]);
  ASSERT_EQ(Run({"--trace", trace, "--limit", "1", "--json", Path("r.json")}), 0);
  EXPECT_EQ(Json(Path("r.json"))["requests"], 1);
}

TEST_F(PlaygroundTest, ReplaysTheTraceThatComesWithIt) {
  ASSERT_EQ(Run({"--trace", std::string(KV_PLAYGROUND_DATA) + "/small_trace.jsonl", "--concurrency",
                 "4", "--buffer-bytes", "64", "--json", Path("r.json")}),
            0)
      << err_.str();
  const nlohmann::json report = Json(Path("r.json"));
  EXPECT_EQ(report["requests"], 40);
  EXPECT_GT(report["ideal_hit_ratio"], 0.3);
  EXPECT_EQ(report["hit_ratio"], report["ideal_hit_ratio"]);
}

TEST_F(PlaygroundTest, PlaysTheConversationsThatComeWithIt) {
  ASSERT_EQ(Run({std::string(KV_PLAYGROUND_DATA) + "/conversation_tokens.json", "2",
                 "--buffer-bytes", "64", "--json", Path("r.json")}),
            0)
      << err_.str();
  const nlohmann::json report = Json(Path("r.json"));
  EXPECT_EQ(report["iterations"][1]["hit_ratio"], 1);
  // A long system prompt and many turns: most is there already in the first iteration.
  EXPECT_GT(report["iterations"][0]["hit_ratio"], 0.7);
  EXPECT_EQ(report["hit_ratio"], report["ideal_hit_ratio"]);
}

TEST_F(PlaygroundTest, SweepsConcurrenciesOverTheSameStoredBlocks) {
  const std::string trace =
      File("t.jsonl", R"({"timestamp": 0, "input_length": 1024, "hash_ids": [0, 1]}
{"timestamp": 5, "input_length": 1000, "hash_ids": [0, 2]})");
  const struct {
    std::vector<std::string> arguments;
    size_t blocks;          // of one play
    bool workers_play_all;  // each
  } kInputs[] = {{{TokensFile(), "3"}, 5, true},
                 {{"--trace", trace, "--iterations", "3"}, 15, false}};
  for (const auto& input : kInputs) {
    std::vector<std::string> arguments = {"--sweep", "1,2,5", "--partition",
                                          input.workers_play_all ? "a" : "b"};
    arguments.insert(arguments.end(), input.arguments.begin(), input.arguments.end());
    for (const char* argument : {"--buffer-bytes", "100", "--json"}) arguments.push_back(argument);
    arguments.push_back(Path("r.json"));
    bar_ = true;
    ASSERT_EQ(Run(arguments), 0) << err_.str();
    const nlohmann::json report = Json(Path("r.json"));
    ASSERT_EQ(report["sweep"].size(), 4u);
    EXPECT_LT(report["sweep"][0]["hit_ratio"], 1);
    EXPECT_GT(report["sweep"][0]["operations"]["write"]["count"], 0);
    uint64_t requests = report["sweep"][0]["requests"];
    for (size_t i = 1; i < 4; ++i) {
      const nlohmann::json& step = report["sweep"][i];
      const size_t concurrency = std::vector<size_t>{1, 2, 5}[i - 1];
      EXPECT_EQ(step["concurrency"], concurrency);
      EXPECT_EQ(step["hit_ratio"], 1);
      EXPECT_EQ(step["ideal_hit_ratio"], 1);
      EXPECT_EQ(step["operations"]["write"]["count"], 0);
      EXPECT_EQ(step["blocks"], input.blocks * 3 * (input.workers_play_all ? concurrency : 1));
      requests += step["requests"].get<uint64_t>();
    }
    EXPECT_EQ(report["requests"], requests);
    EXPECT_EQ(report["hit_ratio"], report["ideal_hit_ratio"]);
    EXPECT_THAT(err_.str(), HasSubstr(fmt::format("{0}/{0} ", requests)));
    EXPECT_THAT(out_.str(), HasSubstr("\nstoring "));
    EXPECT_THAT(out_.str(), HasSubstr("\n5        "));
  }
  EXPECT_EQ(store_.Partitions(), (std::set<std::string>{"a", "b"}));
}

TEST_F(PlaygroundTest, TellsInASweepWhereTheStoreGaveBlocksUp) {
  store_.lost = [](const FakeStore::Block& block) { return block.parent == 0; };
  ASSERT_EQ(
      Run({TokensFile(), "--sweep", "1,2", "--buffer-bytes", "100", "--json", Path("r.json")}), 0)
      << err_.str();
  const nlohmann::json steps = Json(Path("r.json"))["sweep"];
  ASSERT_EQ(steps.size(), 3u);
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(steps[i]["ideal_hit_ratio"], 1);
    EXPECT_DOUBLE_EQ(steps[i]["hit_ratio"], 0.8);
    EXPECT_EQ(steps[i]["operations"]["write"]["count"], i) << "written again by each worker";
  }
}

TEST_F(PlaygroundTest, EndsASweepThatFails) {
  store_.read_status = [](const FakeStore::Block&) { return absl::UnavailableError("gone"); };
  EXPECT_EQ(Run({TokensFile(), "100", "--sweep", "1,2,4", "--buffer-bytes", "100", "--csv",
                 Path("r.csv"), "--json", Path("r.json")}),
            kExitFailed);
  const nlohmann::json report = Json(Path("r.json"));
  EXPECT_TRUE(report["gave_up"]);
  EXPECT_EQ(report["sweep"].size(), 2u) << "the others would fail as well";
  // Each failure stands in the moment that it happened in.
  std::ifstream file(Path("r.csv"), std::ios::binary);
  uint64_t failed = 0;
  for (std::string line; std::getline(file, line);) {
    const size_t column = line.find(",failed,");
    if (line.starts_with("time,") && column != std::string::npos) {
      failed += std::stoull(line.substr(column + 8));
    }
  }
  EXPECT_EQ(failed, report["failed_requests"]);
  EXPECT_GT(failed, 0u);
}

TEST_F(PlaygroundTest, WritesThePageAndItsNumbers) {
  ASSERT_EQ(Run({TokensFile(), "4", "--html", Path("r.html"), "--csv", Path("r.csv")}), 0)
      << err_.str();
  const auto content = [&](const char* name) {
    std::ifstream file(Path(name));
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_THAT(content("r.html"), HasSubstr("<td>hit ratio</td><td>0.750000</td>"));
  EXPECT_THAT(content("r.html"), HasSubstr("<td>usable processors</td>"));
  EXPECT_THAT(content("r.csv"), HasSubstr("run,hit ratio,value,0.750000\r\n"));
  EXPECT_THAT(content("r.csv"), HasSubstr("time,0.0,requests/s,"));
}

TEST_F(PlaygroundTest, FailsWithDetailsOnAMismatch) {
  store_.spoil = [](FakeStore::Block& block) { block.buffer[3] = ~block.buffer[3]; };
  EXPECT_EQ(Run({TokensFile(), "3", "--buffer-bytes", "100"}), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("mismatches        10\n"));
  EXPECT_THAT(out_.str(), HasSubstr("mismatch: playground, prompts[0], block 0: byte 3 of 100"));
  EXPECT_THAT(out_.str(), HasSubstr("mismatch: and 5 more"));
}

TEST_F(PlaygroundTest, FailsWhereAnOperationFailed) {
  store_.write_status = absl::ResourceExhaustedError("full");
  EXPECT_EQ(Run({TokensFile(), "--json", Path("r.json")}), kExitFailed);
  EXPECT_THAT(out_.str(), HasSubstr("RESOURCE_EXHAUSTED: full"));
  EXPECT_EQ(Json(Path("r.json"))["operations"]["write"]["errors"], 5);
}

TEST_F(PlaygroundTest, FailsAtOnceWithoutAServer) {
  store_.lookup_status = absl::UnavailableError("connection refused");
  EXPECT_EQ(Run({TokensFile(), "1000"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("the server does not answer: UNAVAILABLE: connection refused"));
  EXPECT_EQ(store_.lookups(), 1u);
}

TEST_F(PlaygroundTest, HandsTheStoreItsOptions) {
  EXPECT_EQ(Run({TokensFile(), "--server", "a:1,b:2", "-s", "acct", "-c", "box", "--timeout", "1.5",
                 "--partition", "llama"}),
            0);
  EXPECT_EQ(client_options_.servers, "a:1,b:2");
  EXPECT_EQ(client_options_.resource, "acct");
  EXPECT_EQ(client_options_.container, "box");
  EXPECT_EQ(client_options_.timeout.count(), 1500);
  EXPECT_EQ(*store_.Partitions().begin(), "llama");
}

TEST_F(PlaygroundTest, DrawsABarOnlyOnATerminal) {
  EXPECT_EQ(Run({TokensFile(), "3"}), 0);
  EXPECT_THAT(err_.str(), IsEmpty());
  bar_ = true;
  EXPECT_EQ(Run({TokensFile(), "3"}), 0);
  EXPECT_THAT(err_.str(), HasSubstr("3/3 prompts"));
}

TEST_F(PlaygroundTest, TellsOfEachRequestWhenVerbose) {
  EXPECT_EQ(Run({TokensFile(), "2", "-v"}), 0);
  EXPECT_THAT(err_.str(),
              HasSubstr("iteration 2, prompts[0]: 700 tokens, 5 of 5 blocks found, 0 written"));
  EXPECT_EQ(Run({TokensFile(), "2", "-l", "error"}), 0);
  EXPECT_THAT(err_.str(), IsEmpty());
}

TEST_F(PlaygroundTest, HelpsAStranger) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  for (const char* option :
       {"--server", "--storage", "--container", "--partition", "--log-level", "--verbose",
        "--buffer-bytes", "--json", "--trace", "--speed", "--trace-block-tokens", "--limit",
        "--timeout", "--shared", "--sweep", "--html", "--csv", "1258291", "Exit code"}) {
    EXPECT_THAT(out_.str(), HasSubstr(option));
  }
}

TEST_F(PlaygroundTest, RefusesBadInputWithItsOwnExitCode) {
  const std::string tokens = TokensFile();
  const std::string bad = File("bad.json", R"({"prompts": [{"text": "", "tokens": ["x"]}]})");
  const std::string trace = File("t.jsonl", "{\"timestamp\": 0}\n");
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } kCases[] = {
      {{}, "give a tokens file, or a trace with --trace"},
      {{"no-such.json"}, "no-such.json: cannot be read"},
      {{bad}, "bad.json: prompts[0].tokens[0]: expected an integer, got \"x\""},
      {{"--trace", trace}, "t.jsonl:1: input_length: the key is missing"},
      {{"--trace", trace, tokens}, "--trace: a tokens file"},
      {{tokens, "0"}, "iterations"},
      {{tokens, "x"}, "iterations"},
      {{tokens, "-1"}, "-1"},
      {{tokens, "1", "0"}, "concurrency"},
      {{tokens, "1", "1025"}, "concurrency"},
      {{tokens, "1", "1", "1"}, "1"},
      {{tokens, "--nonsense"}, "--nonsense"},
      {{tokens, "--buffer-bytes", "0"}, "--buffer-bytes"},
      {{tokens, "--buffer-bytes", "-5"}, "--buffer-bytes"},
      {{tokens, "--buffer-bytes", "200000000"}, "--buffer-bytes"},
      {{tokens, "--timeout", "0"}, "--timeout"},
      {{tokens, "--timeout", "nan"}, "--timeout"},
      {{tokens, "--log-level", "loud"}, "--log-level"},
      {{tokens, "--partition", ""}, "--partition"},
      {{tokens, "--speed", "1"}, "--speed: only for traces"},
      {{"--trace", trace, "--speed", "-1"}, "--speed"},
      {{"--trace", trace, "--speed", "nan"}, "--speed"},
      {{"--trace", trace, "--limit", "0"}, "--limit"},
      {{"--trace", trace, "--trace-block-tokens", "500"}, "500 is no multiple of 128"},
      {{"--trace", trace, "--shared"}, "--shared"},
      {{tokens, "--json", Path("no/such/dir/r.json")}, "no/such/dir/r.json: no file can be made"},
      {{tokens, "--json", directory_.string()}, "is no regular file"},
      {{tokens, "--html", directory_.string()}, "is no regular file"},
      {{tokens, "--csv", Path("no/such/dir/r.csv")}, "no/such/dir/r.csv: no file can be made"},
      {{tokens, "--sweep", "1,0"}, "--sweep"},
      {{tokens, "--sweep", "1,2000"}, "--sweep"},
      {{tokens, "--sweep", "1,x"}, "--sweep"},
      {{tokens, "--sweep", "2,1"}, "must ascend"},
      {{tokens, "--sweep", "2,2"}, "must ascend"},
      {{tokens, "--sweep", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, "at most 16"},
      {{tokens, "--sweep", "1,2", "--concurrency", "3"}, "names the concurrencies"},
      {{"--trace", trace, "--sweep", "1,2", "--speed", "1"}, "not with --speed"},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(Run(one.arguments), kExitBadInput) << one.message;
    EXPECT_THAT(err_.str(), HasSubstr(one.message));
    EXPECT_THAT(out_.str(), IsEmpty());
  }
  EXPECT_EQ(store_.lookups(), 0u);
}

TEST_F(PlaygroundTest, ReplacesTheReportAsAWhole) {
  const std::string path = File("r.json", "old");
  EXPECT_TRUE(CheckWritable(path).ok());
  std::ifstream before(path);
  std::string content;
  before >> content;
  EXPECT_EQ(content, "old");
  EXPECT_TRUE(WriteAtomically(path, "new").ok());
  std::ifstream after(path);
  after >> content;
  EXPECT_EQ(content, "new");
  EXPECT_FALSE(WriteAtomically(Path("none/r.json"), "x").ok());
}

}  // namespace
}  // namespace kvstore::playground
