#include "KVPlayground/tokens_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace kvstore::playground {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TokensFile, GivesThePromptsInOrder) {
  const auto prompts = ParseTokens(
      R"({"encoding": "cl100k_base", "extra": {"deep": [1, {"prompts": []}]},
          "prompts": [{"text": "a\u00e9", "tokens": [5, 0, 7], "token_count": 3},
                      {"token_count": 1, "other": [[]], "tokens": [9], "text": ""}]})");
  ASSERT_TRUE(prompts.ok()) << prompts.status();
  EXPECT_THAT(*prompts, ElementsAre(ElementsAre(5, 0, 7), ElementsAre(9)));
}

struct BadFile {
  const char* json;
  const char* message;
};

class BadTokensFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadTokensFile, IsRefusedWithThePlace) {
  const auto prompts = ParseTokens(GetParam().json);
  ASSERT_EQ(prompts.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().json;
  EXPECT_THAT(std::string(prompts.status().message()), HasSubstr(GetParam().message));
}

#define PROMPT(tokens, count) \
  "{\"prompts\": [{\"text\": \"t\", \"tokens\": " tokens ", \"token_count\": " count "}]}"

INSTANTIATE_TEST_SUITE_P(
    All, BadTokensFile,
    ::testing::Values(
        BadFile{"", "line 1, column 1"}, BadFile{"{\n\"prompts\": [\n  oops]}", "line 3, column 3"},
        BadFile{"{\"prompts\": [", "unexpected end"}, BadFile{"{} {}", "\"prompts\" is missing"},
        BadFile{PROMPT("[1]", "1") "x", "line 1, column"},
        BadFile{"[]", "expected an object with the key \"prompts\", got a list"},
        BadFile{"7", "expected an object with the key \"prompts\", got 7"},
        BadFile{"null", "got null"}, BadFile{"{\"prompt\": []}", "the key \"prompts\" is missing"},
        BadFile{"{\"prompts\": []}", "prompts: the list is empty"},
        BadFile{"{\"prompts\": {}}", "prompts: expected a list, got an object"},
        BadFile{"{\"prompts\": 3}", "prompts: expected a list, got 3"},
        BadFile{"{\"prompts\": [5]}", "prompts[0]: expected an object, got 5"},
        BadFile{"{\"prompts\": [[]]}", "prompts[0]: expected an object, got a list"},
        BadFile{"{\"prompts\": [{}]}", "prompts[0]: the key \"text\" is missing"},
        BadFile{"{\"prompts\": [{\"text\": \"\", \"token_count\": 1}]}",
                "prompts[0]: the key \"tokens\" is missing"},
        BadFile{"{\"prompts\": [{\"text\": \"\", \"tokens\": [1]}]}",
                "prompts[0]: the key \"token_count\" is missing"},
        BadFile{"{\"prompts\": [{\"text\": 1}]}", "prompts[0].text: expected a string, got 1"},
        BadFile{"{\"prompts\": [{\"tokens\": [1], \"tokens\": [1]}]}",
                "prompts[0].tokens: the key appears twice"},
        BadFile{PROMPT("[]", "0"), "prompts[0].tokens: the list is empty"},
        BadFile{PROMPT("\"1 2\"", "1"), "prompts[0].tokens: expected a list, got \"1 2\""},
        BadFile{PROMPT("[1, \"abc\"]", "2"),
                "prompts[0].tokens[1]: expected an integer, got \"abc\""},
        BadFile{PROMPT("[1.5]", "1"), "prompts[0].tokens[0]: expected an integer, got 1.5"},
        BadFile{PROMPT("[1, 2, -3]", "3"), "prompts[0].tokens[2]: a token is 0 or more, got -3"},
        BadFile{PROMPT("[true]", "1"), "prompts[0].tokens[0]: expected an integer, got true"},
        BadFile{PROMPT("[[1]]", "1"), "prompts[0].tokens[0]: expected an integer, got a list"},
        BadFile{PROMPT("[18446744073709551615]", "1"), "which is beyond 64 bits"},
        BadFile{PROMPT("[99999999999999999999999]", "1"), "prompts[0].tokens[0]: expected an int"},
        BadFile{"{\"a\":\n 1e999}", "line 2, column"},
        BadFile{PROMPT("[1, 2]", "3"), "prompts[0].token_count: says 3, but there are 2 tokens"},
        BadFile{PROMPT("[1]", "-1"), "prompts[0].token_count: says -1"},
        BadFile{PROMPT("[1]", "\"1\""), "prompts[0].token_count: expected an integer, got \"1\""},
        BadFile{"{\"prompts\": [{\"text\": \"\xff\xfe\"}]}", "line 1, column 24"},
        BadFile{"\xff\xfe{}", "line 1, column 1"},
        BadFile{"{\"prompts\": [{\"text\": \"a\", \"tokens\": [1], \"token_count\": 1}, {\"text\": "
                "\"b\", \"tokens\": [2, null], \"token_count\": 2}]}",
                "prompts[1].tokens[1]: expected an integer, got null"}));

TEST(TokensFile, SurvivesDeepNesting) {
  const std::string deep = "{\"x\": " + std::string(200'000, '[');
  EXPECT_FALSE(ParseTokens(deep).ok());
}

TEST(TokensFile, CutsLongValuesInMessages) {
  const auto prompts = ParseTokens("\"" + std::string(100'000, 'a') + "\"");
  ASSERT_FALSE(prompts.ok());
  EXPECT_LT(prompts.status().message().size(), 200u);
}

TEST(TokensFile, NamesTheFileThatCannotBeRead) {
  const auto missing = ReadTokensFile("no/such/file.json");
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("no/such/file.json: cannot be read: No such file"));
  const std::string directory = ::testing::TempDir();
  EXPECT_THAT(std::string(ReadTokensFile(directory).status().message()), HasSubstr("directory"));
}

TEST(TokensFile, RefusesFilesBeyondTheLimit) {
  const std::string path = ::testing::TempDir() + "/kv_large_file";
  std::ofstream(path) << std::string(100, ' ');
  EXPECT_THAT(std::string(ReadWholeFile(path, 99).status().message()), HasSubstr("100 bytes"));
  EXPECT_TRUE(ReadWholeFile(path, 100).ok());
  std::filesystem::remove(path);
  EXPECT_FALSE(ReadWholeFile("/dev/zero", 1000).ok());
}

TEST(TokensFile, QuotesOnlyWhatPrints) {
  EXPECT_EQ(Quoted("a\n\xff"), "\"a??\"");
  EXPECT_EQ(Quoted("abcdef", 3), "\"abc...\"");
}

}  // namespace
}  // namespace kvstore::playground
