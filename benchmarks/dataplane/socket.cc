#include "benchmarks/dataplane/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace kvstore::bench {

absl::StatusOr<Socket> Socket::Connect(const std::string& target) {
  const size_t colon = target.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, target.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return absl::InvalidArgumentError("no IPv4 address with a port: " + target);
  }
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(target.c_str() + colon + 1)));
  Socket made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  setsockopt(made.file_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (connect(made.file_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return absl::UnavailableError(target + ": " + std::strerror(errno));
  }
  return made;
}

Socket::~Socket() {
  if (file_ >= 0) close(file_);
}

bool Socket::Send(std::string_view head, std::span<const std::byte> body) {
  iovec parts[] = {{const_cast<char*>(head.data()), head.size()},
                   {const_cast<std::byte*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  size_t left = head.size() + body.size();
  while (left > 0) {
    ssize_t sent = sendmsg(file_, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    left -= static_cast<size_t>(sent);
    for (iovec& part : parts) {
      const size_t taken = std::min(part.iov_len, static_cast<size_t>(sent));
      part.iov_base = static_cast<char*>(part.iov_base) + taken;
      part.iov_len -= taken;
      sent -= static_cast<ssize_t>(taken);
    }
  }
  return true;
}

bool Socket::Receive(std::span<std::byte> memory) {
  const size_t known = std::min(memory.size(), end_ - begin_);
  std::memcpy(memory.data(), ahead_.data() + begin_, known);
  begin_ += known;
  size_t at = known;
  while (at < memory.size()) {
    const ssize_t got = recv(file_, memory.data() + at, memory.size() - at, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += static_cast<size_t>(got);
  }
  return true;
}

std::optional<std::string> Socket::ReceiveLine() {
  std::string line;
  while (true) {
    while (begin_ < end_) {
      line.push_back(ahead_[begin_++]);
      if (line.ends_with("\r\n")) return line.substr(0, line.size() - 2);
    }
    const ssize_t got = recv(file_, ahead_.data(), ahead_.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    begin_ = 0;
    end_ = static_cast<size_t>(got);
  }
}

}  // namespace kvstore::bench
