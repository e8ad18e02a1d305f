#include "KVService/platform/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "KVService/platform/temp_dir.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace kvstore {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

// Whether the other side has closed it, when it has.
bool IsEnded(int fd) {
  char byte;
  return ::recv(fd, &byte, 1, 0) <= 0;
}

// What was handed over.
class Taken {
 public:
  ~Taken() {
    for (const int fd : all_) ::close(fd);
  }
  void Add(int fd) {
    absl::MutexLock lock(&mutex_);
    all_.push_back(fd);
  }
  bool Await(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] { return all_.size() >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
  }
  int last() {
    absl::MutexLock lock(&mutex_);
    return all_.back();
  }

 private:
  absl::Mutex mutex_;
  std::vector<int> all_;
};

std::unique_ptr<Listener> OpenOn(const std::string& host, int port = 0) {
  auto listener = Listener::Open({host, port, absl::Seconds(7)});
  EXPECT_TRUE(listener.ok()) << listener.status();
  return listener.ok() ? *std::move(listener) : nullptr;
}

TEST(ListenerTest, HandsOverConnectionsThatDoNotBlockNorDelayNorWaitForEver) {
  Taken taken;
  for (const char* host : {"127.0.0.1", "0.0.0.0", "localhost"}) {
    const auto listener = OpenOn(host);
    listener->Run([&](int fd) { taken.Add(fd); });
    const int client = Connect(listener->port());
    static size_t count = 0;
    ASSERT_TRUE(taken.Await(++count)) << host;
    EXPECT_TRUE(::fcntl(taken.last(), F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(::fcntl(taken.last(), F_GETFD) & FD_CLOEXEC);
    int value = 0;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(taken.last(), IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(::getsockopt(taken.last(), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
    EXPECT_EQ(value, 7000);
    ::close(client);
  }
}

TEST(ListenerTest, APortIsOnesOwnAndFreeAfterIt) {
  auto first = OpenOn("127.0.0.1");
  const int port = first->port();
  const auto second = Listener::Open({"127.0.0.1", port});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("in use"), std::string_view::npos) << second.status();
  first.reset();
  EXPECT_NE(OpenOn("127.0.0.1", port), nullptr);
}

TEST(ListenerTest, AnAddressOfAnotherMachineIsRefused) {
  EXPECT_FALSE(Listener::Open({"192.0.2.1", 0}).ok());
  EXPECT_FALSE(Listener::Open({"no such name", 0}).ok());
}

class FewDescriptors {
 public:
  FewDescriptors() { ::getrlimit(RLIMIT_NOFILE, &before_); }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  void Allow(int most) {
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(most);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }

 private:
  rlimit before_;
};

TEST(ListenerTest, RefusesWhatWouldTakeTheDescriptorsOfFilesAndGoesOnAfterIt) {
  Taken taken;
  FewDescriptors few;
  const auto listener = OpenOn("127.0.0.1");
  listener->Run([&](int fd) { taken.Add(fd); });
  const int first = Connect(listener->port());
  ASSERT_TRUE(taken.Await(1));
  const int free = ::dup(first);  // the next number that one would get
  ::close(free);
  few.Allow(free + Listener::kDescriptorsForFiles);
  const int refused = Connect(listener->port());
  EXPECT_TRUE(IsEnded(refused));
  few.Allow(free + Listener::kDescriptorsForFiles + 20);
  const int second = Connect(listener->port());
  EXPECT_TRUE(taken.Await(2));
  for (const int fd : {first, refused, second}) ::close(fd);
}

// Waits for a line of the log.
class LogWaiter final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LogWaiter(std::string text) : text_(std::move(text)) {}
  bool Await() { return seen_.WaitForNotificationWithTimeout(kPatience); }

 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const std::string_view text(line.payload.data(), line.payload.size());
    if (text.find(text_) != text.npos && !seen_.HasBeenNotified()) seen_.Notify();
  }
  void flush_() override {}

  const std::string text_;
  absl::Notification seen_;
};

TEST(ListenerTest, GoesOnWhenDescriptorsComeBack) {
  const auto log = std::make_shared<LogWaiter>("no connection taken");
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("", log));
  Taken taken;
  FewDescriptors few;
  const auto listener = OpenOn("127.0.0.1");
  listener->Run([&](int fd) { taken.Add(fd); });
  const int waiting = Connect(listener->port());
  ASSERT_TRUE(taken.Await(1));
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  few.Allow(client + 1);  // none is left
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(listener->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_TRUE(log->Await());
  few.Allow(client + Listener::kDescriptorsForFiles + 20);
  EXPECT_TRUE(taken.Await(2));
  ::close(waiting);
  ::close(client);
  spdlog::set_default_logger(before);
}

TEST(ListenerTest, UnderstandsAddresses) {
  const auto port = Listener::Parse("127.0.0.1:50052");
  ASSERT_TRUE(port.ok());
  EXPECT_EQ(port->host, "127.0.0.1");
  EXPECT_EQ(port->port, 50052);
  EXPECT_EQ(Listener::Parse("[::1]:0")->host, "[::1]");
  EXPECT_EQ(Listener::Parse("unix:/run/a:1")->unix_path, "/run/a:1");
  for (const std::string& bad :
       {std::string("unix:"), "unix:/" + std::string(200, 'x'), std::string("host"),
        std::string(":1"), std::string("host:"), std::string("host:65536"), std::string("host:-1"),
        std::string("host:1x"), std::string("::1:50052"), std::string()}) {
    EXPECT_EQ(Listener::Parse(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ListenerTest, ASocketInTheFileSystem) {
  const testing::TempDir directory;
  const std::string path = directory.path() + "/socket";
  const auto connect = [&] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  };
  Taken taken;
  auto listener = *Listener::Open({.unix_path = path});
  struct stat found;
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode, S_IFSOCK | 0600);
  listener->Run([&](int fd) { taken.Add(fd); });
  const int client = connect();
  EXPECT_TRUE(taken.Await(1));
  ::close(client);
  EXPECT_FALSE(Listener::Open({.unix_path = path}).ok()) << "somebody listens there";
  listener.reset();
  EXPECT_NE(::stat(path.c_str(), &found), 0) << "it is left behind";

  // What a process left that was killed.
  const int stale = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(::bind(stale, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(stale);
  EXPECT_TRUE(Listener::Open({.unix_path = path}).ok());
}

}  // namespace
}  // namespace kvstore
