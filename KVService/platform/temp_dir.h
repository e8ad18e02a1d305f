// A directory for a test.
#ifndef KVSERVICE_PLATFORM_TEMP_DIR_H_
#define KVSERVICE_PLATFORM_TEMP_DIR_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>

namespace kvstore::testing {

// A directory of its own, removed at the end.
class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::random_device random;
    for (int attempt = 0; attempt < 100 && path_.empty(); ++attempt) {
      const std::filesystem::path tried = parent / ("kvstore-" + std::to_string(random()));
      if (std::filesystem::create_directory(tried)) path_ = tried.string();
    }
    EXPECT_FALSE(path_.empty());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_PLATFORM_TEMP_DIR_H_
