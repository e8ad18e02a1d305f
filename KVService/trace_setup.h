// Spans, to the collector that --otlp-endpoint names.
#ifndef KVSERVICE_TRACE_SETUP_H_
#define KVSERVICE_TRACE_SETUP_H_

#include <memory>

#include "KVService/http/http_client.h"
#include "KVService/observe/span_exporter.h"
#include "KVService/options.h"

namespace kvstore {

class TraceSetup {
 public:
  explicit TraceSetup(const ServerOptions& options);
  // Sends what waits, for at most SpanExporter::kLastPatience.
  ~TraceSetup();

  // Null where no collector is named.
  SpanExporter* spans() { return spans_.get(); }

 private:
  std::unique_ptr<HttpClient> http_;  // of its own: nothing that calls wait for
  std::unique_ptr<SpanExporter> spans_;
};

}  // namespace kvstore

#endif  // KVSERVICE_TRACE_SETUP_H_
