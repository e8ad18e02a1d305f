#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/platform/listener.h"

namespace kvstore {
namespace {

// Where no descriptor or memory is left: until the next try.
constexpr absl::Duration kPause = absl::Milliseconds(100);
constexpr absl::Duration kBetweenLogs = absl::Seconds(10);
static_assert(Listener::kLongestPath == sizeof(sockaddr_un::sun_path) - 1);
constexpr int kBacklog = 1024;  // the system's own limit is lower on many

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::StatusOr<Addresses> Resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string name = bracketed ? host.substr(1, host.size() - 2) : host;
  const int error = getaddrinfo(name.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  return Addresses(found, &freeaddrinfo);
}

absl::Status SystemError(const char* what) {
  return absl::UnavailableError(std::string(what) + ": " + std::strerror(errno));
}

// The socket, listening.
absl::StatusOr<int> ListenOn(const sockaddr* address, socklen_t size, absl::Duration send_timeout) {
  const int fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return SystemError("socket");
  const auto set = [fd](int level, int option, int value) {
    return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
  };
  // What the system makes of a connection has these too. Dual: an IPv6 socket for all addresses
  // takes IPv4 as well.
  const bool ok = set(SOL_SOCKET, SO_REUSEADDR, 1) && set(IPPROTO_TCP, TCP_NODELAY, 1) &&
                  set(IPPROTO_TCP, TCP_USER_TIMEOUT,
                      static_cast<int>(absl::ToInt64Milliseconds(send_timeout))) &&
                  (address->sa_family != AF_INET6 || set(IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
                  ::bind(fd, address, size) == 0 && ::listen(fd, kBacklog) == 0;
  if (ok) return fd;
  const absl::Status status = SystemError("bind");
  ::close(fd);
  return status;
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

void SetPort(sockaddr* address, int port) {
  (address->sa_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(address)->sin6_port
                                  : reinterpret_cast<sockaddr_in*>(address)->sin_port) =
      htons(static_cast<uint16_t>(port));
}

int MostDescriptors() {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX) return INT32_MAX;
  return static_cast<int>(limit.rlim_cur);
}

// Whether nobody listens there any more, who would be cut off by our taking the path.
absl::Status ClearPath(const std::string& path, const sockaddr_un& address) {
  struct stat found;
  if (::lstat(path.c_str(), &found) != 0) return absl::OkStatus();  // bind tells what else is wrong
  if (!S_ISSOCK(found.st_mode)) return absl::UnavailableError("there is a file that is no socket");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return SystemError("socket");
  const bool taken =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED;
  ::close(fd);
  if (taken) return absl::UnavailableError("another process listens there");
  return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : SystemError("unlink");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const Options& options) {
  std::unique_ptr<Listener> listener(new Listener);
  listener->stop_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (listener->stop_ < 0) return SystemError("eventfd");
  KV_RETURN_IF_ERROR(options.unix_path.empty() ? listener->Bind(options)
                                               : listener->BindPath(options.unix_path));
  return listener;
}

absl::Status Listener::BindPath(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return absl::UnavailableError("the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  KV_RETURN_IF_ERROR(ClearPath(path, address));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return SystemError("socket");
  sockets_.push_back(fd);
  // The file gets the socket's mode: there is no moment at which others may connect.
  if (::fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return SystemError("bind");
  }
  path_ = path;
  return ::listen(fd, kBacklog) == 0 ? absl::OkStatus() : SystemError("listen");
}

absl::Status Listener::Bind(const Options& options) {
  port_ = options.port;
  if (options.host == "0.0.0.0" || options.host == "::" || options.host == "[::]") {
    // All addresses of both kinds, where the machine has both.
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(static_cast<uint16_t>(port_));
    const auto socket =
        ListenOn(reinterpret_cast<const sockaddr*>(&any), sizeof any, options.send_timeout);
    if (socket.ok()) {
      sockets_.push_back(*socket);
      port_ = PortOf(*socket);
      return absl::OkStatus();
    }
    if (options.host != "0.0.0.0") return socket.status();
  }
  KV_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(options.host, port_));
  absl::Status status = absl::UnavailableError("no address");
  for (addrinfo* it = addresses.get(); it != nullptr; it = it->ai_next) {
    if (it->ai_family != AF_INET && it->ai_family != AF_INET6) continue;
    SetPort(it->ai_addr, port_);
    const auto socket = ListenOn(it->ai_addr, it->ai_addrlen, options.send_timeout);
    if (!socket.ok()) {
      status = socket.status();
      continue;
    }
    sockets_.push_back(*socket);
    port_ = PortOf(*socket);  // the next address gets the same
  }
  return sockets_.empty() ? status : absl::OkStatus();
}

Listener::~Listener() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    KV_CHECK(::write(stop_, &one, sizeof one) == sizeof one);
    thread_.join();
  }
  if (!path_.empty()) ::unlink(path_.c_str());
  for (const int socket : sockets_) ::close(socket);
  if (stop_ >= 0) ::close(stop_);
}

void Listener::Run(std::function<void(int)> take) {
  take_ = std::move(take);
  thread_ = std::thread(&Listener::Serve, this);
}

void Listener::Serve() {
  std::vector<pollfd> waiting = {{stop_, POLLIN, 0}};
  for (const int socket : sockets_) waiting.push_back({socket, POLLIN, 0});
  while (true) {
    ::poll(waiting.data(), waiting.size(), -1);
    if (waiting.front().revents != 0) return;
    for (size_t i = 1; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) TakeAll(waiting[i].fd);
    }
  }
}

void Listener::Wait(absl::Duration at_most) {
  pollfd stop = {stop_, POLLIN, 0};
  ::poll(&stop, 1, static_cast<int>(absl::ToInt64Milliseconds(at_most)));
}

void Listener::TakeAll(int socket) {
  const auto log = [this](const char* event, const char* reason) {
    if (absl::Now() - last_log_ < kBetweenLogs) return;
    last_log_ = absl::Now();
    spdlog::error("{} port={} descriptors={} reason=\"{}\"", event, port_, MostDescriptors(),
                  reason);
  };
  while (true) {
    const int fd = ::accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      // The system gives the lowest number that is free: so many are in use.
      if (fd < MostDescriptors() - kDescriptorsForFiles) {
        take_(fd);
      } else {
        ::close(fd);
        log("connection refused", "the descriptors that are left are for files");
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      log("no connection taken", std::strerror(errno));
      return Wait(kPause);
    }
    // Else it is that one connection's fault, which is gone: ECONNABORTED, the network's errors.
    if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) KV_CHECK(false);
  }
}

}  // namespace kvstore
