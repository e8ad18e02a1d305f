// gRPC's own log lines, in the form of the server's.
#ifndef KVSERVICE_RPC_GRPC_LOG_H_
#define KVSERVICE_RPC_GRPC_LOG_H_

namespace kvstore {

// From now on what gRPC has to say goes to the server's log, for the whole process: one line each,
// whatever a client put into it, of a bounded length, and not more than some a second. But for
// those who trace gRPC, by its environment variables GRPC_TRACE and GRPC_VERBOSITY: to them it
// writes as always.
void TakeGrpcLog();

}  // namespace kvstore

#endif  // KVSERVICE_RPC_GRPC_LOG_H_
