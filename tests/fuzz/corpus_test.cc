// Feeds every fuzz target its corpus, so that each build's tests, the sanitizers' too, see what
// once was found, and the seeds.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#define X(target) extern "C" int target(const uint8_t* data, size_t size);
KVSTORE_FUZZ_TARGETS
#undef X

namespace {

namespace fs = std::filesystem;

struct Target {
  const char* name;
  int (*run)(const uint8_t* data, size_t size);
};

#define X(target) {#target, target},
const Target kTargets[] = {KVSTORE_FUZZ_TARGETS};
#undef X

class FuzzCorpusTest : public testing::TestWithParam<Target> {};

// A finding ends the process.
TEST_P(FuzzCorpusTest, HasNoFinding) {
  const auto& [name, run] = GetParam();
  int files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(KVSTORE_CORPUS) / name)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string input(std::istreambuf_iterator<char>(file), {});
    ASSERT_TRUE(file.good() || file.eof()) << entry.path();
    SCOPED_TRACE(entry.path());
    EXPECT_EQ(run(reinterpret_cast<const uint8_t*>(input.data()), input.size()), 0);
    ++files;
  }
  EXPECT_GE(files, 2) << "seeds of " << name;
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpusTest, testing::ValuesIn(kTargets),
                         [](const auto& target) { return std::string(target.param.name); });

}  // namespace
