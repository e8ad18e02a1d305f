// One StreamingRead: answers in request order while the fetches behind it run concurrently.
#ifndef KVSERVICE_RPC_READ_STREAM_H_
#define KVSERVICE_RPC_READ_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <deque>
#include <string>

#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/call_gate.h"
#include "KVService/rpc/requests.h"
#include "KVService/store/chunk_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// A ReadRequest, checked.
struct LocatedRead {
  Container container;
  std::string location;
  std::string completion_id;
};
absl::StatusOr<LocatedRead> ParseRead(const grpc::ByteBuffer& request);

// The ReadResponse for what the store gave, adding to `record`. A failure other than a miss becomes
// success = false with its message.
grpc::ByteBuffer AnswerRead(const absl::StatusOr<ChunkStore::ReadResult>& result,
                            const Stopwatch& watch, RpcRecord* record);

// Bytes of answers that all streams together hold for clients to take.
struct HeldAnswers {
  static constexpr int64_t kMostOfAStream = 16 << 20;
  static constexpr int64_t kMostOfAll = 256 << 20;
  std::atomic<int64_t> bytes = 0;
};

// Deletes itself once gRPC is done with it. At most kStreamWindow requests are under way or
// waiting to be sent, and beyond HeldAnswers' bounds one: a client that does not read its answers
// is not read from either.
//
// A malformed request ends the stream with INVALID_ARGUMENT, after the answers before it. A block
// that cannot be read is answered with success = false, and the stream goes on.
class ReadStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // All pointers must outlive the stream. `gate` has let it in.
  ReadStream(ChunkStore* store, RpcLog* log, CallGate* gate, HeldAnswers* held,
             absl::Time deadline);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  struct Slot {
    bool ready = false;
    int64_t bytes = 0;
    Stopwatch watch;
    grpc::ByteBuffer response;
  };

  struct Actions {
    bool write = false;
    bool read = false;
    bool finish = false;
    absl::Status status;
  };

  // What the state allows next, marked as under way. Every event updates the state and asks under
  // one lock, and performs without it: in between, another thread's event may finish the stream,
  // which then deletes itself, so nothing may be touched that is not under way.
  void Hold(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Actions Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Perform(const Actions& actions);

  ChunkStore& store_;
  RpcLog& log_;
  CallGate& gate_;
  HeldAnswers& held_;
  const absl::Time deadline_;
  const Stopwatch watch_;
  grpc::ByteBuffer request_;   // gRPC's while a read runs
  grpc::ByteBuffer response_;  // gRPC's while a write runs

  absl::Mutex mutex_;
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // requests not answered yet, in order
  uint64_t first_ ABSL_GUARDED_BY(mutex_) = 0;      // the sequence number of slots_[0]
  int64_t held_here_ ABSL_GUARDED_BY(mutex_) = 0;   // of ready slots and the one being written
  int64_t pending_ ABSL_GUARDED_BY(mutex_) = 0;     // slots that are not ready
  int64_t last_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t being_written_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_requests_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // nobody listens any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  RpcRecord record_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_READ_STREAM_H_
