#include "KVPlayground/report_options.h"

namespace kvstore::playground {

using nlohmann::ordered_json;

ordered_json OptionsOf(const Report& report) {
  const Options& o = report.options;
  ordered_json json;
  if (o.trace_file.empty()) {
    json["tokens_file"] = o.tokens_file;
    json["shared_partition"] = o.shared_partition;
  } else {
    json["trace"] = o.trace_file;
    json["speed"] = o.speed;
    json["trace_block_tokens"] = o.trace_block_tokens;
  }
  json["prompts"] = report.prompts;
  json["iterations"] = o.iterations;
  if (o.sweep.empty()) {
    json["concurrency"] = o.concurrency;
  } else {
    json["sweep"] = o.sweep;
  }
  json["buffer_bytes"] = o.buffer_bytes;
  json["server"] = o.server;
  json["storage"] = o.storage;
  json["container"] = o.container;
  json["partition"] = o.partition;
  json["timeout_seconds"] = o.timeout_seconds;
  return json;
}

}  // namespace kvstore::playground
