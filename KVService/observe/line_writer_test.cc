#include "KVService/observe/line_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace kvstore {
namespace {

constexpr std::chrono::milliseconds kLong{60'000};
constexpr std::chrono::milliseconds kAtOnce{0};

// A console that takes nothing until it is told to.
class Console {
 public:
  explicit Console(bool open = true) : open_(open) {}

  LineWriter::Sink sink() {
    return [this](std::string_view lines) {
      std::unique_lock lock(mutex_);
      ++calls_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_; });
      if (!works_) return false;
      text_ += lines;
      return true;
    };
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Break() {
    const std::lock_guard lock(mutex_);
    works_ = false;
  }
  void AwaitCall() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return calls_ > 0; });
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    std::istringstream in(text_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool open_;
  bool works_ = true;
  int calls_ = 0;
  std::string text_;
};

TEST(LineWriterTest, WritesEveryLineWholeAndEachThreadsInOrder) {
  constexpr int kThreads = 4, kLines = 20'000;
  Console console;
  {
    LineWriter writer(console.sink());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&writer, t] {
        for (int i = 0; i < kLines; ++i) {
          writer.Write(std::to_string(t) + " " + std::to_string(i) + "\n");
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(writer.Stop(kLong));
    EXPECT_EQ(writer.dropped(), 0u);
  }
  std::map<int, int> next;
  for (const std::string& line : console.lines()) {
    std::istringstream in(line);
    int thread = -1, number = -1;
    in >> thread >> number;
    EXPECT_EQ(number, next[thread]++) << line;
  }
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(next[t], kLines);
}

TEST(LineWriterTest, ManyLinesAreOneWrite) {
  Console console(/*open=*/false);
  LineWriter writer(console.sink());
  writer.Write("first\n");
  console.AwaitCall();
  for (int i = 0; i < 1000; ++i) writer.Write("line\n");  // less than a chunk
  console.Open();
  EXPECT_TRUE(writer.Stop(kLong));
  EXPECT_EQ(console.calls(), 2);
  EXPECT_EQ(console.lines().size(), 1001u);
}

TEST(LineWriterTest, WritesByItselfAfterAWhile) {
  Console console;
  LineWriter writer(console.sink());
  writer.Write("first\n");
  console.AwaitCall();  // for ever, if it waited for more lines or for its end
}

TEST(LineWriterTest, ASlowConsoleCostsTheOldestLinesAndTheyAreCounted) {
  Console console(/*open=*/false);
  LineWriter writer(console.sink());
  writer.Write("first\n");
  console.AwaitCall();
  const std::string tail(990, 'x');
  constexpr uint64_t kLines = 3 * LineWriter::kMostBytes / 1000;
  for (uint64_t i = 0; i < kLines; ++i) writer.Write(std::to_string(i) + " " + tail + "\n");
  EXPECT_GT(writer.dropped(), kLines / 2);
  console.Open();
  EXPECT_TRUE(writer.Stop(kLong));
  const std::vector<std::string> lines = console.lines();
  EXPECT_EQ(lines.size() + writer.dropped(), kLines + 1);
  EXPECT_LE(lines.size() * 990, LineWriter::kMostBytes);
  EXPECT_GE(lines.size() * 1000, LineWriter::kMostBytes - 2 * LineWriter::kChunkBytes);
  EXPECT_EQ(lines.front(), "first");
  for (size_t i = 1; i < lines.size(); ++i) {  // the newest, none of them missing
    EXPECT_EQ(std::stoull(lines[i]), kLines - (lines.size() - i));
  }
}

TEST(LineWriterTest, AnEndDoesNotWaitForAConsoleThatTakesNothing) {
  Console console(/*open=*/false);
  auto writer = std::make_unique<LineWriter>(console.sink());
  writer->Write("first\n");
  console.AwaitCall();
  writer->Write("second\n");
  EXPECT_FALSE(writer->Stop(kAtOnce));
  EXPECT_EQ(writer->dropped(), 1u) << "the one that is being written may still be";
  writer.reset();
  console.Open();  // and the thread, which goes on, ends
  while (console.lines().empty()) std::this_thread::yield();
  EXPECT_EQ(console.lines(), std::vector<std::string>{"first"});
}

TEST(LineWriterTest, CountsWhatTheConsoleDoesNotTake) {
  Console console;
  console.Break();
  LineWriter writer(console.sink());
  writer.Write("first\n");
  writer.Write("second\n");
  EXPECT_TRUE(writer.Stop(kLong));
  EXPECT_EQ(writer.dropped(), 2u);
  EXPECT_TRUE(writer.Stop(kLong)) << "twice is once";
}

}  // namespace
}  // namespace kvstore
