// Drives clients that block: a thread a connection, several requests on the way in each.
#ifndef BENCHMARKS_DATAPLANE_BLOCKING_H_
#define BENCHMARKS_DATAPLANE_BLOCKING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/dataplane/meter.h"

namespace kvstore::bench {

// Used by one thread.
class Connection {
 public:
  virtual ~Connection() = default;

  // Sends request `number`; false where the connection broke.
  virtual bool Send(uint64_t number) = 0;

  // The answer to the oldest request that has none: its bytes, none where it failed.
  virtual std::optional<size_t> Receive() = 0;
};

// Opens a connection with so many requests on the way at a time.
using Connect = std::function<absl::StatusOr<std::unique_ptr<Connection>>(int depth)>;

// Over at most `max_connections`, `in_flight` in all.
absl::Status RunBlocking(Meter& meter, int in_flight, int max_connections, const Connect& connect);

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_BLOCKING_H_
