// bench_server raw|protobuf|tcp PORT: the bare servers that ours is measured against.
#include <CLI/CLI.hpp>
#include <csignal>
#include <map>

#include "KVCommon/tune_process.h"
#include "benchmarks/dataplane/servers.h"

namespace kvstore::bench {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void WaitForStop() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
}

}  // namespace kvstore::bench

int main(int argc, char** argv) {
  const std::map<std::string, bool (*)(int)> modes = {{"raw", &kvstore::bench::ServeRaw},
                                                      {"protobuf", &kvstore::bench::ServeProtobuf},
                                                      {"tcp", &kvstore::bench::ServeTcp}};
  std::string mode;
  int port = 0;
  CLI::App app("A bare server of benchmarks/dataplane, on 127.0.0.1");
  app.add_option("mode", mode)->required()->check(CLI::IsMember(modes));
  app.add_option("port", port)->required();
  CLI11_PARSE(app, argc, argv);

  const sigset_t signals = kvstore::bench::StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (mode != "protobuf") kvstore::TuneProcess();
  return modes.at(mode)(port) ? 0 : 1;
}
