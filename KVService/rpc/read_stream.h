// One StreamingRead: answers in request order while the fetches behind it run concurrently.
#ifndef KVSERVICE_RPC_READ_STREAM_H_
#define KVSERVICE_RPC_READ_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>

#include "KVService/observe/rpc_log.h"
#include "KVService/rpc/access.h"
#include "KVService/rpc/call_queues.h"
#include "KVService/rpc/requests.h"
#include "KVService/store/chunk_store.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

class KVService;

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

// Adds what the store took to the stages, and of a block that was there to the log's tiers. Of what
// failed all of the time counts: as that of the other machines, where the storage is shared.
void AddStorageTime(const absl::StatusOr<ChunkStore::ReadResult>& result, const Stopwatch& watch,
                    bool shared, RpcLog* log, RpcStages* stages);

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
// A malformed request ends the stream with INVALID_ARGUMENT, one for a container that the caller
// may not read with PERMISSION_DENIED, after the answers before it. A block that cannot be read is
// answered with success = false, and the stream goes on.
class ReadStream final {
 public:
  using Stream = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  // Waits for a stream, which then makes the next one that waits. Both must live until the queue
  // has ended.
  static void Await(KVService* service, grpc::ServerCompletionQueue* queue);

 private:
  struct Answer {
    Stopwatch watch;  // since its request came
    int64_t bytes = 0;
    int64_t ready_us = 0;
    RpcStages stages;
  };
  struct Slot {
    bool ready = false;
    uint64_t store_read = 0;
    Answer answer;
    std::unique_ptr<ReadGuard> guard;
    grpc::ByteBuffer response;
  };

  // One of gRPC's operations, and whom to tell of its end.
  struct Step final : CallEvent {
    using Then = void (ReadStream::*)(bool ok);
    Step(ReadStream* stream, Then then) : stream(stream), then(then) {}
    void Happened(bool ok) override { (stream->*then)(ok); }
    void* tag() { return static_cast<CallEvent*>(this); }

    ReadStream* const stream;
    const Then then;
  };

  struct Actions {
    bool write = false;
    bool read = false;
    bool finish = false;
    int64_t bytes = 0;  // to be written
    absl::Status status;
    std::shared_ptr<const Origin> origin;
  };

  ReadStream(KVService* service, grpc::ServerCompletionQueue* queue);

  void Began(bool ok);
  void Received(bool ok);
  // Null where no guard is needed. Asks anew for every request: a stream outlives a token that is
  // taken back.
  absl::StatusOr<std::unique_ptr<ReadGuard>> Guard(const LocatedRead& read) const;
  // Lets the store know that nobody waits for what is being fetched.
  void AbandonFetches();
  void Fetched(uint64_t sequence, absl::StatusOr<ChunkStore::ReadResult> result);
  void Sent(bool ok);
  void Finished(bool ok);
  void Done(bool ok);  // the call has ended, as it should or by the client or the connection
  void End();

  // What the state allows next, marked as under way. Every event updates the state and asks under
  // one lock, and performs without it. Fetches end on other threads; what gRPC has to say comes
  // from the queue, one event at a time, so the stream cannot end in one of these functions.
  // Tells whoever watches for slow ones of an answer that was sent.
  void Watch(const Answer& answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Actions Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Perform(const Actions& actions);
  void Write(int64_t bytes);

  KVService& service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  Stream stream_{&context_};
  Admission::Call admitted_call_;
  Step began_{this, &ReadStream::Began};
  Step received_{this, &ReadStream::Received};
  Step sent_{this, &ReadStream::Sent};
  Step finished_step_{this, &ReadStream::Finished};
  Step done_{this, &ReadStream::Done};
  absl::Time deadline_;
  Stopwatch watch_;
  // Of the queue's thread alone: the stream ends with the second of two events.
  bool entered_ = false;
  int ends_due_ = 2;

  grpc::ByteBuffer request_;   // gRPC's while a read runs
  grpc::ByteBuffer response_;  // gRPC's while a write runs

  absl::Mutex mutex_;
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // requests not answered yet, in order
  uint64_t first_ ABSL_GUARDED_BY(mutex_) = 0;      // the sequence number of slots_[0]
  int64_t held_here_ ABSL_GUARDED_BY(mutex_) = 0;   // of ready slots and the one being written
  int64_t pending_ ABSL_GUARDED_BY(mutex_) = 0;     // slots that are not ready
  int64_t last_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Answer being_written_ ABSL_GUARDED_BY(mutex_);
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
