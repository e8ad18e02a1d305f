// What a call is known by elsewhere: its request id and the trace that it is part of.
#ifndef KVCLIENT_SRC_CALL_IDS_H_
#define KVCLIENT_SRC_CALL_IDS_H_

#include <grpcpp/client_context.h>

#include <string>

#include "KVClient/include/kvstore/client.h"

namespace kvstore::client {

// The same for all requests that one call makes: its attempts, hedges, streams and blocks.
struct CallIds {
  // The caller's, where they are fit to be sent; else a new request id, and no trace.
  static CallIds Of(const CallOptions& call);

  void AddTo(grpc::ClientContext* context) const;

  std::string request_id;
  std::string traceparent;  // empty: none
  std::string tracestate;   // likewise
};

// The CallOptions of a call by the compatible class: with what SetThreadTrace said last.
CallOptions WithThreadTrace(CallOptions call);
void SetThreadTrace(std::string traceparent, std::string request_id, std::string tracestate);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_CALL_IDS_H_
