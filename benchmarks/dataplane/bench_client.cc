// Drives one workload against one contender and prints one line of JSON.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "KVCommon/tune_process.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"

namespace kvstore::bench {
namespace {

// More than a window of gRPC's and what is in flight beside it.
constexpr size_t kHeapBytes = size_t{256} << 20;

const std::map<std::string, MadeContender (*)(const Options&)>& Makers() {
  static const std::map<std::string, MadeContender (*)(const Options&)> makers = {
      {"ours", &MakeOurs},          {"raw", &MakeRaw},           {"protobuf", &MakeProtobuf},
      {"tcp", &MakeSockets},        {"memcached", &MakeSockets}, {"nginx", &MakeSockets},
#ifdef KV_BENCH_REDIS
      {"redis", &MakeRedis},
#endif
      {"file-loop", &MakeFileLoop},
  };
  return makers;
}

int Measure(const Options& options) {
  // "As one finds it" is what that contender stands for.
  if (options.contender != "protobuf") {
    TuneProcess();
    WarmHeap(kHeapBytes);
  }
  MadeContender contender = Makers().at(options.contender)(options);
  absl::Status status = contender.status();
  if (status.ok() && options.prepare) {
    status = (*contender)->Prepare();
  } else if (status.ok()) {
    Meter meter(options);
    status = (*contender)->Run(meter);
    if (status.ok() && meter.failures() > 0) status = absl::UnknownError("operations failed");
    if (status.ok()) std::printf("%s\n", meter.Report().c_str());
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_client: %s: %s\n", options.contender.c_str(),
               status.ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace kvstore::bench

int main(int argc, char** argv) {
  using kvstore::bench::Op;
  kvstore::bench::Options options;
  CLI::App app("Drives one workload against one contender of benchmarks/dataplane");
  app.add_option("contender", options.contender)
      ->required()
      ->check(CLI::IsMember(kvstore::bench::Makers()));
  app.add_option("target", options.target, "host:port, or a directory for file-loop")->required();
  app.add_option("--storage", options.storage, "of ours: the storage account, by name or URL");
  const std::map<std::string, Op> ops = {
      {"read", Op::kRead}, {"write", Op::kWrite}, {"stream", Op::kStream}, {"lookup", Op::kLookup}};
  app.add_option("--op", options.op)->transform(CLI::CheckedTransformer(ops));
  app.add_option("--bytes", options.bytes, "of a block");
  app.add_option("--blocks", options.blocks, "different ones; of a stream or Lookup, of one call");
  app.add_option("--prompts", options.prompts, "that --prepare stores");
  app.add_option("--in-flight", options.in_flight);
  app.add_option("--sync-every", options.sync_every, "of file-loop: records to an fdatasync");
  app.add_option("--seconds", options.seconds, "measured");
  app.add_option("--warmup", options.warmup, "seconds before that");
  app.add_option("--max-ops", options.max_ops, "measured at most");
  app.add_option("--server-pid", options.server_pid, "whose CPU time is measured");
  app.add_flag("--prepare", options.prepare, "store what reads want, and measure nothing");
  CLI11_PARSE(app, argc, argv);
  return kvstore::bench::Measure(options);
}
