// Whose a call is, by its metadata: its request id and its trace.
#ifndef KVSERVICE_RPC_CALL_ORIGIN_H_
#define KVSERVICE_RPC_CALL_ORIGIN_H_

#include <grpcpp/server_context.h>

#include "KVService/observe/rpc_record.h"
#include "KVService/observe/span_exporter.h"

namespace kvstore {

// Sets the record's origin, of a call that has just come. The request id is the caller's
// x-request-id, where it sent one that is fit, or a new one. The trace is that of the caller's
// traceparent; without one a new trace begins where spans are kept, and there is none where not
// (`spans` is null). A tracestate counts beside a traceparent alone.
void SetOrigin(const grpc::ServerContext& context, const SpanExporter* spans, RpcRecord* record);

}  // namespace kvstore

#endif  // KVSERVICE_RPC_CALL_ORIGIN_H_
