// Who is measured. Each drives its own server the way its users would, into memory that is reused.
#ifndef BENCHMARKS_DATAPLANE_CONTENDER_H_
#define BENCHMARKS_DATAPLANE_CONTENDER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/dataplane/meter.h"
#include "benchmarks/dataplane/options.h"

namespace kvstore::bench {

class Contender {
 public:
  virtual ~Contender() = default;

  // Stores what reads and Lookups want.
  virtual absl::Status Prepare() { return absl::OkStatus(); }

  // Keeps `in_flight` operations going until the meter gives no more; all have ended on return.
  virtual absl::Status Run(Meter& meter) = 0;
};

using MadeContender = absl::StatusOr<std::unique_ptr<Contender>>;

MadeContender MakeOurs(const Options& options);      // kvstore::Client, KVStoreServer
MadeContender MakeRaw(const Options& options);       // gRPC on bytes, completion queues
MadeContender MakeProtobuf(const Options& options);  // gRPC as generated, all by default
MadeContender MakeSockets(const Options& options);   // tcp, memcached, nginx
MadeContender MakeRedis(const Options& options);     // hiredis
MadeContender MakeFileLoop(const Options& options);  // a plain loop over a file, no network

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_CONTENDER_H_
