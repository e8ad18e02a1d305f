// What a large fleet gets out of the client's routing: balance, hits, and what a loss costs.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "benchmarks/cluster_sim/simulate.h"

namespace kvstore::cluster_sim {
namespace {

int Run(const FleetOptions& options, const std::string& json_path) {
  const Placement placement = Place(options);
  std::printf(
      "%zu servers, %zu blocks: homes max/mean %.3f; of 1 %% lost %.4f move (%.4f at least), "
      "of 10 %% %.4f (%.4f)\n\n",
      options.servers, options.blocks, placement.max_to_mean, placement.moved_1, placement.least_1,
      placement.moved_10, placement.least_10);
  std::fflush(stdout);
  nlohmann::json json = {{"servers", options.servers},
                         {"blocks", options.blocks},
                         {"homes_max_to_mean", placement.max_to_mean},
                         {"moved_1", placement.moved_1},
                         {"least_1", placement.least_1},
                         {"moved_10", placement.moved_10},
                         {"least_10", placement.least_10},
                         {"phases", nlohmann::json::array()}};
  std::printf("%-24s %7s %10s %9s %9s %9s %9s %9s %9s\n", "phase", "servers", "reads", "hits",
              "one cache", "max/mean", "p99/mean", "overflow", "2nd home");
  for (const Phase& phase : Simulate(options)) {
    std::printf("%-24s %7zu %10llu %9.4f %9.4f %9.3f %9.3f %9.4f %9.4f\n", phase.name.c_str(),
                phase.servers_up, static_cast<unsigned long long>(phase.reads), phase.hit_ratio,
                phase.one_cache, phase.max_to_mean, phase.p99_to_mean, phase.overflowed,
                phase.further_home);
    json["phases"].push_back({{"name", phase.name},
                              {"servers_up", phase.servers_up},
                              {"reads", phase.reads},
                              {"hit_ratio", phase.hit_ratio},
                              {"one_cache", phase.one_cache},
                              {"max_to_mean", phase.max_to_mean},
                              {"p99_to_mean", phase.p99_to_mean},
                              {"overflowed", phase.overflowed},
                              {"further_home", phase.further_home}});
  }
  if (json_path.empty()) return 0;
  std::ofstream file(json_path);
  file << json.dump(1) << "\n";
  if (file.good()) return 0;
  std::fprintf(stderr, "cannot write %s\n", json_path.c_str());
  return 1;
}

}  // namespace
}  // namespace kvstore::cluster_sim

int main(int argc, char** argv) {
  CLI::App app("Simulates a fleet of servers over one container, with the client's routing code");
  kvstore::cluster_sim::FleetOptions options;
  std::string json;
  app.add_option("--servers", options.servers)->check(CLI::Range(2, 65'535));
  app.add_option("--clients", options.clients, "each knows only its own load")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--blocks", options.blocks, "different ones")
      ->check(CLI::Range(10'000, 1'000'000'000));
  app.add_option("--cached", options.cached, "share of them that the servers' RAM holds")
      ->check(CLI::Range(0.001, 1.0));
  app.add_option("--requests", options.requests, "of each phase")->check(CLI::PositiveNumber);
  app.add_option("--in-flight", options.in_flight, "requests at a time")
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed);
  app.add_option("--json", json, "write the results there, too");
  CLI11_PARSE(app, argc, argv);
  return kvstore::cluster_sim::Run(options, json);
}
