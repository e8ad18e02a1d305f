// Listens on a TCP port, or a Unix socket, and hands connections over, for as long as it lives.
// gRPC's own listener ends for good, without a word to the program, the first time that the process
// has no file descriptor left.
#ifndef KVSERVICE_PLATFORM_LISTENER_H_
#define KVSERVICE_PLATFORM_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// Run and the destructor on one thread; the rest is const.
class Listener {
 public:
  // Connections leave so many of the process's file descriptors to files: beyond that they are
  // closed at once.
  static constexpr int kDescriptorsForFiles = 64;

  static constexpr size_t kLongestPath = 107;  // of a Unix socket

  struct Options {
    std::string host;  // a name or an address; all addresses of a name are listened on
    int port = 0;      // 0: a free one
    // What was sent and not taken for so long ends the connection.
    absl::Duration send_timeout = absl::Seconds(10);
    // Instead of host and port: a socket in the file system, which only this process's user may
    // connect to.
    std::string unix_path;
  };

  // "unix:PATH", "HOST:PORT" or "[IPv6]:PORT" as options. INVALID_ARGUMENT for anything else, and
  // for a path that is too long for a socket.
  static absl::StatusOr<Options> Parse(std::string_view address);

  // UNAVAILABLE, saying what and where, if the address is not this machine's or the port is taken;
  // or if something else than a socket that nobody listens on any more is at the path.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const Options& options);

  ~Listener();  // no `take` runs any more; the port is free

  int port() const { return port_; }

  // Gives each connection to `take`, on a thread of this object: a descriptor of a socket that does
  // not block, which is `take`'s to close. Until then the system lets connections wait. Call once.
  void Run(std::function<void(int descriptor)> take);

 private:
  Listener() = default;
  absl::Status Bind(const Options& options);
  absl::Status BindPath(const std::string& path);
  void Serve();
  void TakeAll(int socket);
  void Wait(absl::Duration at_most);  // or until it is to end

  std::vector<int> sockets_;
  int port_ = 0;
  std::string path_;  // to be removed at the end; empty: none
  int stop_ = -1;     // an eventfd: readable once it is to end
  std::function<void(int)> take_;
  absl::Time last_log_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace kvstore

#endif  // KVSERVICE_PLATFORM_LISTENER_H_
