// The gRPC server for administrators (protos/kvstore_admin.proto), at an address of its own: a
// socket in the file system, or a port with identities of its own. It shares no thread with the
// data service: what it does may block.
#ifndef KVSERVICE_RPC_ADMIN_SERVER_H_
#define KVSERVICE_RPC_ADMIN_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "KVService/auth/access_control.h"
#include "KVService/auth/server_tls.h"
#include "KVService/observe/metrics.h"
#include "KVService/store/chunk_store.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

// What administrators may see and change, as the program gives it. All of it is thread-safe, may
// block, and outlives the server.
struct AdminTarget {
  ChunkStore* store = nullptr;

  std::string version;
  std::vector<std::pair<std::string, std::string>> facts;
  MetricSource metrics;
  std::function<absl::Status()> ready;

  // What can be set; of a change, what stays is nullopt.
  struct Settings {
    std::optional<uint64_t> capacity_bytes;  // of this server's disk
    std::optional<uint64_t> memory_bytes;
    std::optional<std::string> log_level;  // error, info or verbose
  };
  // Makes all of the change or, with INVALID_ARGUMENT or FAILED_PRECONDITION, nothing; gives what
  // holds now.
  std::function<absl::StatusOr<Settings>(const Settings& change)> set;

  // Takes no calls of the data service any more, or takes them again.
  std::function<void(bool drain)> drain;
  struct Drained {
    bool draining = false;
    uint64_t running_calls = 0;
    uint64_t unshared_blocks = 0;  // written, and not yet where other servers see them
  };
  std::function<Drained()> drained;

  // Checks all that is on this server's disk, until `go_on`, which is told how far it is, says
  // false. FAILED_PRECONDITION where there is no disk.
  struct Checked {
    uint64_t blocks = 0;
    uint64_t of = 0;
    uint64_t bytes = 0;
    uint64_t damaged = 0;  // and removed
  };
  std::function<absl::Status(uint64_t bytes_per_second,
                             const std::function<bool(const Checked&)>& go_on)>
      verify;
};

struct AdminServerOptions {
  std::string address;  // as Listener::Parse takes it
  // Who may: all that it knows. Null: whoever can connect, which only a Unix socket allows.
  const AccessControl* access = nullptr;
  const ServerTls* tls = nullptr;  // of a port; null: plain text, which only the loopback allows
};

class AdminServer {
 public:
  // UNAVAILABLE where the address cannot be listened on; INVALID_ARGUMENT where it would let
  // everybody in, or tokens travel in plain text. What the options point at must outlive it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const AdminServerOptions& options,
                                                            AdminTarget target);
  ~AdminServer();  // cancels what runs, and waits for it

  int port() const;  // 0 of a Unix socket

 private:
  struct Parts;
  explicit AdminServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_ADMIN_SERVER_H_
