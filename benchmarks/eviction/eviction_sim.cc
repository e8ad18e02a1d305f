// Compares eviction policies on a trace in Mooncake's format, or on a workload of our own.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "KVPlayground/trace_file.h"
#include "benchmarks/eviction/simulate.h"
#include "benchmarks/eviction/workloads.h"

namespace kvstore::eviction_sim {
namespace {

struct Options {
  std::string trace, synthetic, json, variant = "none";
  std::vector<size_t> capacities;
  size_t block_tokens = 512;
  uint32_t split = 1;
};

// Hash ids as small numbers, in order of appearance.
Prompts PromptsOf(const playground::Trace& trace) {
  Prompts prompts;
  std::unordered_map<uint64_t, uint32_t> ids;
  for (const playground::TraceRequest& request : trace.requests) {
    std::vector<uint32_t>& prompt = prompts.requests.emplace_back();
    for (const uint64_t id : trace.IdsOf(request)) {
      prompt.push_back(ids.try_emplace(id, static_cast<uint32_t>(ids.size())).first->second);
    }
  }
  return prompts;
}

void Compare(const std::string& name, const Prompts& prompts, const std::vector<size_t>& capacities,
             nlohmann::json& rows) {
  const auto next_uses = NextUses(prompts);
  const double ideal = IdealHitRatio(prompts);
  for (const size_t capacity : capacities) {
    const auto ratio = [&](std::unique_ptr<Policy> policy) { return HitRatio(prompts, *policy); };
    const double lru = ratio(MakeLru(capacity)), s3_fifo = ratio(MakeS3Fifo(capacity));
    const double ours = ratio(MakeOurs(capacity));
    const double belady = ratio(MakeBelady(capacity, next_uses, false));
    const double belady_prefix = ratio(MakeBelady(capacity, next_uses, true));
    std::printf("%-20s %8zu %8.4f %8.4f %8.4f %8.4f %8.4f %8.4f\n", name.c_str(), capacity, lru,
                s3_fifo, ours, belady, belady_prefix, ideal);
    std::fflush(stdout);
    rows.push_back({{"workload", name},
                    {"capacity", capacity},
                    {"lru", lru},
                    {"s3_fifo", s3_fifo},
                    {"ours", ours},
                    {"belady", belady},
                    {"belady_prefix", belady_prefix},
                    {"ideal", ideal}});
  }
}

int Run(const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  std::printf("%-20s %8s %8s %8s %8s %8s %8s %8s\n", "workload", "blocks", "LRU", "S3-FIFO", "ours",
              "Belady", "prefix", "ideal");
  const auto compare = [&](const std::string& name, Prompts prompts,
                           const std::vector<size_t>& capacities) {
    if (options.variant == "reversed") prompts = Reversed(prompts);
    if (options.variant == "third") prompts = ThirdOfSessions(prompts);
    if (options.split > 1) prompts = Split(prompts, options.split);
    Compare(name, prompts, options.capacities.empty() ? capacities : options.capacities, rows);
  };
  if (!options.trace.empty()) {
    const auto trace = playground::ReadTraceFile(options.trace, options.block_tokens, 0);
    if (!trace.ok()) {
      std::fprintf(stderr, "%s\n", trace.status().ToString().c_str());
      return 2;
    }
    const std::string name = options.variant == "none" ? "trace" : "trace, " + options.variant;
    compare(name, PromptsOf(*trace), {1000, 5000, 10'000, 20'000});
  }
  for (const std::string& name : WorkloadNames()) {
    if (options.synthetic != name && options.synthetic != "all") continue;
    Workload workload = *MakeWorkload(name);
    compare(name, std::move(workload.prompts), workload.capacities);
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << rows.dump(1) << '\n';
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write %s\n", options.json.c_str());
      return 1;
    }
  }
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Compares eviction policies: the share of blocks found, leading ones only");
  std::vector<std::string> names = WorkloadNames();
  names.push_back("all");
  auto* trace = app.add_option("trace", options.trace, "JSON lines, as Mooncake has them");
  app.add_option("--synthetic", options.synthetic, "a workload of our own in its place")
      ->check(CLI::IsMember(names))
      ->excludes(trace);
  app.add_option("--capacity", options.capacities, "in blocks, separated by commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--split", options.split, "cut each block into so many")->check(CLI::Range(1, 64));
  app.add_option("--variant", options.variant, "what to make of the requests")
      ->check(CLI::IsMember({"none", "reversed", "third"}));
  app.add_option("--trace-block-tokens", options.block_tokens)->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "write the table there, too");
  CLI11_PARSE(app, argc, argv);
  if (options.trace.empty() && options.synthetic.empty()) {
    std::fprintf(stderr, "give a trace or --synthetic\n%s", app.help().c_str());
    return 2;
  }
  return Run(options);
}

}  // namespace
}  // namespace kvstore::eviction_sim

int main(int argc, char** argv) { return kvstore::eviction_sim::Main(argc, argv); }
