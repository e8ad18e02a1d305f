// One operation at a time against the bare gRPC server, over and over, by completion queue.
#ifndef BENCHMARKS_DATAPLANE_RAW_SLOTS_H_
#define BENCHMARKS_DATAPLANE_RAW_SLOTS_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/dataplane/meter.h"
#include "benchmarks/dataplane/options.h"

namespace kvstore::bench {

// What a completion queue's tags are.
class RawEvent {
 public:
  virtual ~RawEvent() = default;
  virtual void Happened(bool ok) = 0;
};

class RawSlot {
 public:
  virtual ~RawSlot() = default;
  // Begins an operation, or counts itself out of its connection where the run is to end. Runs on
  // the connection's thread, as all events do.
  virtual void Next() = 0;
};

struct RawConnection {
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::CompletionQueue queue;
  std::vector<RawSlot*> slots;
  size_t running = 0;  // slots that still have operations to come
};

struct RawWork {
  const Options& options;
  Meter& meter;
  std::string lookup;  // a request's bytes
  size_t answer_bytes = 0;
};

// `memory` is where answers go: of a stream, one piece a block. All given must outlive the slot,
// which adds itself to the connection.
std::unique_ptr<RawSlot> MakeUnarySlot(const RawWork& work, RawConnection& connection,
                                       std::vector<std::span<std::byte>> memory);
std::unique_ptr<RawSlot> MakeStreamSlot(const RawWork& work, RawConnection& connection,
                                        std::vector<std::span<std::byte>> memory);

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_RAW_SLOTS_H_
