// A link between two network namespaces that takes time: what comes out of a TUN device in one goes
// into that in the other a while later, in order, whole packets and as they are. In place of
// netem, which not every kernel has.
//
//   delay_link NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B
//
// Makes the devices and prints "ready". Each line of standard input is the delay of each way from
// then on, in microseconds; behind it may stand 1 or 0 for each way, from A to B and back: whether
// packets are lost there. The input's end ends the link.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLargestPacket = 65'536;
constexpr size_t kMostWaiting = 4096;  // packets a way; beyond it they are dropped, as on a network

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "delay_link: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

int OpenTun(const std::string& name_space, const std::string& device) {
  const std::string path = "/var/run/netns/" + name_space;
  const int its = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (its < 0 || setns(its, CLONE_NEWNET) != 0) Fail("namespace " + name_space);
  close(its);
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) Fail("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(tun, TUNSETIFF, &request) != 0) Fail("device " + device);
  return tun;
}

struct Packet {
  Clock::time_point due;
  std::vector<std::byte> bytes;
};

// One way.
void Carry(int from, int to, const std::atomic<int64_t>& delay_us, const std::atomic<bool>& lost,
           const std::atomic<bool>& stop) {
  std::deque<Packet> waiting;
  std::vector<std::vector<std::byte>> spare;
  std::vector<std::byte> buffer(kLargestPacket);
  while (!stop.load(std::memory_order_relaxed)) {
    timespec timeout{0, 50'000'000};
    if (!waiting.empty()) {
      const auto left = std::max<int64_t>((waiting.front().due - Clock::now()).count(), 0);
      timeout.tv_nsec = std::min<int64_t>(left, timeout.tv_nsec);
    }
    pollfd readable{from, POLLIN, 0};
    ppoll(&readable, 1, &timeout, nullptr);
    for (int burst = 0; burst < 16; ++burst) {
      const ssize_t size = read(from, buffer.data(), buffer.size());
      if (size <= 0) break;
      if (waiting.size() == kMostWaiting || lost.load(std::memory_order_relaxed)) continue;
      std::vector<std::byte> bytes;
      if (!spare.empty()) {
        bytes = std::move(spare.back());
        spare.pop_back();
      }
      bytes.assign(buffer.begin(), buffer.begin() + size);
      waiting.push_back(
          {Clock::now() + std::chrono::microseconds(delay_us.load(std::memory_order_relaxed)),
           std::move(bytes)});
    }
    while (!waiting.empty() && waiting.front().due <= Clock::now()) {
      // A device that is down or full drops it, as a network would.
      [[maybe_unused]] const ssize_t written =
          write(to, waiting.front().bytes.data(), waiting.front().bytes.size());
      spare.push_back(std::move(waiting.front().bytes));
      waiting.pop_front();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: delay_link NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B\n");
    return 2;
  }
  const int a = OpenTun(argv[1], argv[2]);
  const int b = OpenTun(argv[3], argv[4]);
  std::atomic<int64_t> delay_us = 0;
  std::atomic<bool> lost_there = false, lost_back = false, stop = false;
  std::thread there([&] { Carry(a, b, delay_us, lost_there, stop); });
  std::thread back([&] { Carry(b, a, delay_us, lost_back, stop); });
  std::printf("ready\n");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    long long delay = 0;
    int from_a = 0, from_b = 0;
    if (std::sscanf(line, "%lld %d %d", &delay, &from_a, &from_b) < 1) continue;
    delay_us = delay;
    lost_there = from_a != 0;
    lost_back = from_b != 0;
  }
  stop = true;
  there.join();
  back.join();
  return 0;
}
