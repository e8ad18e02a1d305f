#include "KVService/platform/children.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "KVService/platform/temp_dir.h"

namespace kvstore {
namespace {

using ::testing::HasSubstr;
using Kind = ChildEvent::Kind;

constexpr absl::Duration kLong = absl::Seconds(30);

TEST(LinePrefixerTest, PrefixesWholeLines) {
  LinePrefixer prefixer("[node 0] ");
  std::string lines;
  prefixer.Add("one\ntw", lines);
  EXPECT_EQ(lines, "[node 0] one\n");
  prefixer.Add("o", lines);
  prefixer.Add("\n\nthree", lines);
  EXPECT_EQ(lines, "[node 0] one\n[node 0] two\n[node 0] \n");
  lines.clear();
  prefixer.End(lines);
  EXPECT_EQ(lines, "[node 0] three\n");
  prefixer.End(lines);
  EXPECT_EQ(lines, "[node 0] three\n");
}

TEST(LinePrefixerTest, BoundsALineWithoutAnEnd) {
  LinePrefixer prefixer("> ");
  std::string lines;
  for (int i = 0; i < 5; ++i) prefixer.Add(std::string(100 << 10, 'x'), lines);
  EXPECT_EQ(lines.size(), (300 << 10) + 3);
  EXPECT_EQ(lines.back(), '\n');
}

// Children write to this process's own console, which goes to a file meanwhile.
class ChildrenTest : public ::testing::Test {
 protected:
  void SetUp() override {
    saved_ = dup(STDOUT_FILENO);
    const int file = open((directory_.path() + "/out").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ASSERT_GE(file, 0);
    ASSERT_EQ(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    close(file);
    output_ = *PrefixedOutput::Open(PrefixedOutput::Console::kOutput, "[child] ");
  }
  void TearDown() override {
    EXPECT_EQ(children_.size(), 0);
    Said();
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }

  int Run(const std::string& script) {
    const auto child = children_.Start({"/bin/sh", "-c", script}, *output_, *output_);
    EXPECT_TRUE(child.ok()) << child.status();
    return *child;
  }
  std::string Said() {
    EXPECT_TRUE(output_->Finish(kLong));
    std::ifstream file(directory_.path() + "/out");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  ChildEvent Next() { return children_.Wait(absl::Now() + kLong); }

  testing::TempDir directory_;
  int saved_ = -1;
  Children children_;  // in the first thread, before any other
  std::unique_ptr<PrefixedOutput> output_;
};

TEST_F(ChildrenTest, TellsHowTheyEnd) {
  const int fine = Run("exit 0");
  ChildEvent event = Next();
  EXPECT_EQ(event.kind, Kind::kEnded);
  EXPECT_EQ(event.child, fine);
  EXPECT_TRUE(event.clean);

  Run("exit 3");
  event = Next();
  EXPECT_EQ(event.how, "exit code 3");
  EXPECT_FALSE(event.clean);

  Run("kill -9 $$");
  event = Next();
  EXPECT_EQ(event.how, "signal 9");
  EXPECT_FALSE(event.clean);
}

TEST_F(ChildrenTest, AProgramThatIsNotThereEndsWith127) {
  ASSERT_TRUE(children_.Start({"/no/such/program"}, *output_, *output_).ok());
  EXPECT_EQ(Next().how, "exit code 127");
  EXPECT_EQ(Said(), "[child] the program cannot be run\n");
}

TEST_F(ChildrenTest, TheirLinesBearThePrefix) {
  Run("echo one; echo two >&2; printf three");
  EXPECT_TRUE(Next().clean);
  EXPECT_EQ(Said(), "[child] one\n[child] two\n[child] three\n");
}

TEST_F(ChildrenTest, TellsWhenTheyAreReady) {
  const int child = Run("echo -n 1 >/proc/self/fd/$KVSTORE_READY_FD; exec sleep 30");
  ChildEvent event = Next();
  EXPECT_EQ(event.kind, Kind::kReady);
  EXPECT_EQ(event.child, child);
  children_.Signal(child, ChildSignal::kTerminate);
  event = Next();
  EXPECT_EQ(event.kind, Kind::kEnded);
  EXPECT_EQ(event.how, "signal 15");
}

TEST_F(ChildrenTest, PassesSignalsOnAndTellsOwnOnes) {
  const int child =
      Run("trap 'exit 7' INT; echo -n 1 >/proc/self/fd/$KVSTORE_READY_FD; while :; do sleep 0.05; "
          "done");
  EXPECT_EQ(Next().kind, Kind::kReady);
  for (const auto& [number, signal] : {std::pair{SIGTERM, ChildSignal::kTerminate},
                                       {SIGHUP, ChildSignal::kReload},
                                       {SIGINT, ChildSignal::kInterrupt}}) {
    kill(getpid(), number);
    const ChildEvent event = Next();
    EXPECT_EQ(event.kind, Kind::kSignalled);
    EXPECT_EQ(event.signal, signal) << NameOf(signal);
  }
  children_.Signal(child, ChildSignal::kInterrupt);
  EXPECT_EQ(Next().how, "exit code 7");
}

TEST_F(ChildrenTest, SignalsReachThemThoughThisProcessIgnoresThem) {
  const auto before = signal(SIGINT, SIG_IGN);  // as a shell starts what is in its background
  const int child = Run("exec sleep 30");
  children_.Signal(child, ChildSignal::kInterrupt);
  EXPECT_EQ(Next().how, "signal 2");
  signal(SIGINT, before);
}

TEST_F(ChildrenTest, WaitsNoLongerThanToldTo) {
  EXPECT_EQ(children_.Wait(absl::Now() + absl::Milliseconds(20)).kind, Kind::kTime);
  EXPECT_EQ(children_.Wait(absl::InfinitePast()).kind, Kind::kTime);
  const int child = Run("exec sleep 30");
  EXPECT_EQ(children_.Wait(absl::Now() + absl::Milliseconds(20)).kind, Kind::kTime);
  children_.Signal(child, ChildSignal::kKill);
  EXPECT_EQ(Next().how, "signal 9");
}

TEST_F(ChildrenTest, OthersDoNotHoldTheirPipesOpen) {
  const int lasting = Run("exec sleep 30");
  Run("echo done");
  EXPECT_EQ(Next().how, "exit code 0");
  // Its own output is still open, and nothing else's.
  auto other = *PrefixedOutput::Open(PrefixedOutput::Console::kOutput, "[other] ");
  ASSERT_TRUE(children_.Start({"/bin/sh", "-c", "echo x"}, *other, *other).ok());
  EXPECT_TRUE(Next().clean);
  EXPECT_TRUE(other->Finish(kLong));
  children_.Signal(lasting, ChildSignal::kKill);
  EXPECT_EQ(Next().child, lasting);
}

TEST(OwnProgramTest, IsThisOne) { EXPECT_THAT(OwnProgram(), HasSubstr("children_test")); }

}  // namespace
}  // namespace kvstore
