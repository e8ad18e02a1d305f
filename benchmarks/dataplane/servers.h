// The servers that KVStoreServer is measured against. Each serves on 127.0.0.1 and returns after
// SIGTERM or SIGINT, false where it could not listen. REQUIRES: those signals are blocked.
#ifndef BENCHMARKS_DATAPLANE_SERVERS_H_
#define BENCHMARKS_DATAPLANE_SERVERS_H_

namespace kvstore::bench {

// gRPC on bytes: two completion queues with a thread each, constant slices, nothing parsed. Read,
// Write, StreamingRead and Lookup by the names of KVStoreService, with a BenchRequest in front.
bool ServeRaw(int port);

// gRPC as generated: blocking service, default arguments, chunks held as objects in a map.
bool ServeProtobuf(int port);

// send and recv, a thread a connection. A BenchRequest, then its bytes; answered with as many.
bool ServeTcp(int port);

// Until SIGTERM or SIGINT.
void WaitForStop();

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_SERVERS_H_
