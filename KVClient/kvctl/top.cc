// kvctl top: what a server does now, again and again.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "KVClient/kvctl/commands.h"
#include "KVClient/kvctl/format.h"
#include "KVClient/kvctl/samples.h"
#include "KVCommon/status_macros.h"

namespace kvstore::kvctl {
namespace {

using nlohmann::json;

constexpr size_t kShownTenants = 10;

// Between two moments.
class Change {
 public:
  Change(const Samples& before, const Samples& now, double seconds)
      : before_(before), now_(now), seconds_(seconds) {}

  double Of(const std::string& name, const Samples::Labels& labels = {}) const {
    return std::max(now_.Sum(name, labels) - before_.Sum(name, labels), 0.0);
  }
  double Rate(const std::string& name, const Samples::Labels& labels = {}) const {
    return Of(name, labels) / seconds_;
  }
  std::optional<double> Quantile(const std::string& name, const Samples::Labels& labels,
                                 double q) const {
    return now_.Quantile(name, labels, q, &before_);
  }
  const Samples& now() const { return now_; }

 private:
  const Samples& before_;
  const Samples& now_;
  const double seconds_;
};

std::string Quick(std::optional<double> seconds) { return seconds ? Duration(*seconds) : "-"; }
json Milliseconds(std::optional<double> seconds) {
  return seconds ? json(*seconds * 1000) : json(nullptr);
}

std::optional<double> HitRatio(const Change& change) {
  const double hit = change.Of("kvstore_lookup_blocks_total", {{"result", "hit"}});
  const double miss = change.Of("kvstore_lookup_blocks_total", {{"result", "miss"}});
  if (hit + miss == 0) return std::nullopt;
  return hit / (hit + miss);
}

std::vector<std::pair<double, std::string>> BusiestTenants(const Change& change) {
  const std::string name = "kvstore_tenant_requests_total";
  std::vector<std::pair<double, std::string>> tenants;
  for (const std::string& tenant : change.now().Values(name, "tenant")) {
    tenants.emplace_back(change.Rate(name, {{"tenant", tenant}}), tenant);
  }
  std::sort(tenants.rbegin(), tenants.rend());
  tenants.resize(std::min(tenants.size(), kShownTenants));
  return tenants;
}

constexpr char kCalls[] = "kvstore_rpc_requests_total";
constexpr char kLatency[] = "kvstore_rpc_duration_seconds";

double Failures(const Change& change, const std::string& method) {
  return change.Rate(kCalls, {{"method", method}}) -
         change.Rate(kCalls, {{"method", method}, {"code", "OK"}});
}

json AsJson(const admin::StatsResponse& stats, const Change& change) {
  json methods = json::object();
  for (const std::string& method : change.now().Values(kCalls, "method")) {
    methods[method] = {
        {"calls_per_second", change.Rate(kCalls, {{"method", method}})},
        {"failures_per_second", Failures(change, method)},
        {"p50_ms", Milliseconds(change.Quantile(kLatency, {{"method", method}}, 0.5))},
        {"p99_ms", Milliseconds(change.Quantile(kLatency, {{"method", method}}, 0.99))}};
  }
  json tenants = json::object();
  for (const auto& [rate, tenant] : BusiestTenants(change)) tenants[tenant] = rate;
  const std::optional<double> ratio = HitRatio(change);
  return {{"ready", stats.not_ready().empty()},
          {"methods", methods},
          {"hit_ratio", ratio ? json(*ratio) : json(nullptr)},
          {"sent_bytes_per_second", change.Rate("kvstore_sent_chunk_bytes_total")},
          {"received_bytes_per_second", change.Rate("kvstore_received_chunk_bytes_total")},
          {"running_calls", change.now().Sum("kvstore_running_calls")},
          {"ram_used_bytes", change.now().Sum("kvstore_ram_used_bytes")},
          {"tenants", tenants}};
}

std::string AsText(const admin::StatsResponse& stats, const Change& change) {
  std::string text =
      fmt::format("KVStore {}  up {}  {}\n\n", stats.version(),
                  Duration(static_cast<double>(stats.uptime_ms()) / 1000),
                  stats.not_ready().empty() ? "serving" : "NOT SERVING: " + stats.not_ready());
  const Samples& now = change.now();
  const std::optional<double> ratio = HitRatio(change);
  text += fmt::format("hit ratio {}   out {}/s   in {}/s   running {:.0f}   refused {}/s\n",
                      ratio ? fmt::format("{:.1f} %", 100 * *ratio) : "-",
                      Bytes(change.Rate("kvstore_sent_chunk_bytes_total")),
                      Bytes(change.Rate("kvstore_received_chunk_bytes_total")),
                      now.Sum("kvstore_running_calls"),
                      Count(change.Rate("kvstore_refused_calls_total")));
  text += fmt::format(
      "RAM {} of {}   index {} blocks   evicted {}/s\n\n", Bytes(now.Sum("kvstore_ram_used_bytes")),
      Bytes(now.Sum("kvstore_ram_capacity_bytes")), Count(now.Sum("kvstore_index_blocks")),
      Count(change.Rate("kvstore_evicted_chunks_total")));
  std::vector<std::vector<std::string>> rows = {{"method", "calls/s", "failed/s", "p50", "p99"}};
  for (const std::string& method : now.Values(kCalls, "method")) {
    rows.push_back({method, fmt::format("{:.1f}", change.Rate(kCalls, {{"method", method}})),
                    fmt::format("{:.1f}", Failures(change, method)),
                    Quick(change.Quantile(kLatency, {{"method", method}}, 0.5)),
                    Quick(change.Quantile(kLatency, {{"method", method}}, 0.99))});
  }
  text += Table(rows);
  rows = {{"read from", "reads/s", "p50", "p99"}};
  constexpr char kTiers[] = "kvstore_tier_read_duration_seconds";
  for (const std::string& tier : now.Values(std::string(kTiers) + "_count", "tier")) {
    if (now.Sum(std::string(kTiers) + "_count", {{"tier", tier}}) == 0) continue;
    rows.push_back(
        {tier, fmt::format("{:.1f}", change.Rate(std::string(kTiers) + "_count", {{"tier", tier}})),
         Quick(change.Quantile(kTiers, {{"tier", tier}}, 0.5)),
         Quick(change.Quantile(kTiers, {{"tier", tier}}, 0.99))});
  }
  text += "\n" + Table(rows);
  const auto tenants = BusiestTenants(change);
  if (tenants.empty()) return text;
  rows = {{"tenant", "calls/s"}};
  for (const auto& [rate, tenant] : tenants) rows.push_back({tenant, fmt::format("{:.1f}", rate)});
  return text + "\n" + Table(rows);
}

}  // namespace

absl::Status Top(AdminClient& client, const Output& output, const TopOptions& options) {
  std::unique_ptr<admin::StatsResponse> before;
  for (int shown = 0; options.count == 0 || shown < options.count;) {
    KV_ASSIGN_OR_RETURN(admin::StatsResponse stats,
                        client.Call(&admin::KVStoreAdmin::Stub::Stats, admin::StatsRequest()));
    auto now = std::make_unique<admin::StatsResponse>(std::move(stats));
    if (before != nullptr && now->uptime_ms() > before->uptime_ms()) {
      const Samples was(*before), is(*now);
      const Change change(was, is,
                          static_cast<double>(now->uptime_ms() - before->uptime_ms()) / 1000);
      if (output.json) {
        output.out << AsJson(*now, change).dump() << std::endl;
      } else {
        output.out << (options.clear ? "\x1b[H\x1b[2J" : "") << AsText(*now, change) << std::endl;
      }
      ++shown;
    }
    before = std::move(now);
    if (options.count != 0 && shown == options.count) break;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
  }
  return absl::OkStatus();
}

}  // namespace kvstore::kvctl
