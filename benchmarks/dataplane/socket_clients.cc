// A bare TCP loop, memcached (text protocol) and nginx (keep-alive), over sockets of our own:
// faster than any library for them would be.
#include <cstring>
#include <string>
#include <utility>

#include "benchmarks/dataplane/bench_request.h"
#include "benchmarks/dataplane/blocking.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"
#include "benchmarks/dataplane/socket.h"

namespace kvstore::bench {
namespace {

constexpr int kConnections = 4;

class SocketConnection : public Connection {
 public:
  SocketConnection(const Options& options, Socket socket, int depth)
      : options_(options),
        socket_(std::move(socket)),
        depth_(depth),
        memory_(depth, options.bytes) {}

 protected:
  bool writes() const { return options_.op == Op::kWrite; }
  std::string Key(uint64_t number) const {
    return std::to_string(options_.bytes) + "-" + std::to_string(number % options_.blocks);
  }
  // The memory of the next answer, or of what is sent.
  std::span<std::byte> NextMemory() { return memory_.slot(turn_++ % static_cast<size_t>(depth_)); }

  const Options& options_;
  Socket socket_;

 private:
  const int depth_;
  Memory memory_;
  size_t turn_ = 0;
};

class TcpConnection final : public SocketConnection {
 public:
  using SocketConnection::SocketConnection;

  bool Send(uint64_t number) override {
    const BenchRequest request{.send_bytes = writes() ? options_.bytes : 0,
                               .answer_bytes = writes() ? 1 : options_.bytes,
                               .index = number % options_.blocks};
    const std::string_view head(reinterpret_cast<const char*>(&request), sizeof request);
    return writes() ? socket_.Send(head, NextMemory()) : socket_.Send(head);
  }

  std::optional<size_t> Receive() override {
    std::byte answer[1];
    if (!socket_.Receive(writes() ? std::span<std::byte>(answer) : NextMemory())) {
      return std::nullopt;
    }
    return options_.bytes;
  }
};

class MemcachedConnection final : public SocketConnection {
 public:
  using SocketConnection::SocketConnection;

  bool Send(uint64_t number) override {
    if (!writes()) return socket_.Send("get " + Key(number) + "\r\n");
    const std::string head = "set " + Key(number) + " 0 0 " + std::to_string(options_.bytes);
    return socket_.Send(head + "\r\n", NextMemory()) && socket_.Send("\r\n");
  }

  std::optional<size_t> Receive() override {
    const std::optional<std::string> line = socket_.ReceiveLine();
    if (!line.has_value()) return std::nullopt;
    if (writes()) return *line == "STORED" ? std::optional(options_.bytes) : std::nullopt;
    if (!line->starts_with("VALUE ") || !socket_.Receive(NextMemory())) return std::nullopt;
    if (socket_.ReceiveLine() != "" || socket_.ReceiveLine() != "END") return std::nullopt;
    return options_.bytes;
  }
};

class NginxConnection final : public SocketConnection {
 public:
  using SocketConnection::SocketConnection;

  bool Send(uint64_t number) override {
    return socket_.Send("GET /" + Key(number) + " HTTP/1.1\r\nHost: bench\r\n\r\n");
  }

  std::optional<size_t> Receive() override {
    std::optional<std::string> line = socket_.ReceiveLine();
    if (!line.has_value() || !line->starts_with("HTTP/1.1 200")) return std::nullopt;
    while (line.has_value() && !line->empty()) line = socket_.ReceiveLine();
    if (!line.has_value() || !socket_.Receive(NextMemory())) return std::nullopt;
    return options_.bytes;
  }
};

class Sockets final : public Contender {
 public:
  explicit Sockets(const Options& options) : options_(options) {}

  absl::Status Prepare() override {
    if (options_.contender != "memcached") return absl::OkStatus();
    Options writing = options_;
    writing.op = Op::kWrite;
    auto socket = Socket::Connect(options_.target);
    if (!socket.ok()) return socket.status();
    MemcachedConnection connection(writing, *std::move(socket), 1);
    for (uint64_t number = 0; number < options_.blocks; ++number) {
      if (!connection.Send(number) || !connection.Receive().has_value()) {
        return absl::UnavailableError("memcached stored nothing");
      }
    }
    return absl::OkStatus();
  }

  absl::Status Run(Meter& meter) override {
    // HTTP clients do not pipeline: a connection each.
    const bool nginx = options_.contender == "nginx";
    return RunBlocking(meter, options_.in_flight, nginx ? options_.in_flight : kConnections,
                       [this](int depth) { return Open(depth); });
  }

 private:
  absl::StatusOr<std::unique_ptr<Connection>> Open(int depth) const {
    auto socket = Socket::Connect(options_.target);
    if (!socket.ok()) return socket.status();
    if (options_.contender == "memcached") {
      return std::make_unique<MemcachedConnection>(options_, *std::move(socket), depth);
    }
    if (options_.contender == "nginx") {
      return std::make_unique<NginxConnection>(options_, *std::move(socket), depth);
    }
    return std::make_unique<TcpConnection>(options_, *std::move(socket), depth);
  }

  const Options options_;
};

}  // namespace

MadeContender MakeSockets(const Options& options) { return std::make_unique<Sockets>(options); }

}  // namespace kvstore::bench
