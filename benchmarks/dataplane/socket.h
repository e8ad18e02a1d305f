// A blocking TCP connection, for the contenders that are spoken to without a library.
#ifndef BENCHMARKS_DATAPLANE_SOCKET_H_
#define BENCHMARKS_DATAPLANE_SOCKET_H_

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvstore::bench {

// Used by one thread.
class Socket {
 public:
  // To host:port, the host an IPv4 address.
  static absl::StatusOr<Socket> Connect(const std::string& target);
  explicit Socket(int file) : file_(file) {}
  Socket(Socket&& other) noexcept : file_(other.file_) { other.file_ = -1; }
  Socket& operator=(Socket&&) = delete;
  ~Socket();

  // `head`, then `body`, as one message.
  bool Send(std::string_view head, std::span<const std::byte> body = {});

  // Exactly as many bytes, straight into `memory`.
  bool Receive(std::span<std::byte> memory);

  // Up to the next CR LF, without it. Lines are at most a few KiB.
  std::optional<std::string> ReceiveLine();

 private:
  int file_;
  std::array<char, 8192> ahead_;  // received with a line, and not asked for yet
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_SOCKET_H_
