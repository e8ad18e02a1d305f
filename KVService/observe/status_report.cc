#include "KVService/observe/status_report.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"

namespace kvstore {

namespace {

using Object = nlohmann::ordered_json;
using Steady = std::chrono::steady_clock;

// Whole numbers as such, others with what a person can use of them; null where there is none.
Object Number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == std::floor(value) && std::abs(value) < 9e15) return static_cast<int64_t>(value);
  const double scale = std::pow(10, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

Object Optional(const MetricFamilies& families, std::string_view name,
                const MetricLabels& labels = {}) {
  const std::optional<double> value = FindValue(families, name, labels);
  return value ? Number(*value) : Object(nullptr);
}

Object SamplesJson(const StatusSamples& samples, uint64_t first) {
  const auto [from, list] = samples.Since(first);
  Object json = {{"interval_s", static_cast<double>(StatusSamples::kInterval.count())},
                 {"kept", StatusSamples::kKept},
                 {"first", from},
                 {"next", from + list.size()},
                 {"time", Object::array()}};
  for (const StatusSamples::Sample& sample : list) {
    json["time"].push_back(absl::ToUnixSeconds(sample.time));
  }
  for (size_t column = 0; column < StatusSamples::kColumnCount; ++column) {
    Object values = Object::array();
    for (const StatusSamples::Sample& sample : list) {
      values.push_back(Number(sample.values[column]));
    }
    json[std::string(StatusSamples::kColumns[column])] = std::move(values);
  }
  return json;
}

// Where each tier's fill is found; the disk is the storage, or a tier before Azure.
Object FillJson(size_t tier, const MetricFamilies& families) {
  const bool azure = FindFamily(families, "kvstore_azure_requests_total") != nullptr;
  const auto fill = [&](const char* used, const char* capacity, const char* blocks,
                        const char* evictions) {
    return Object{{"used_bytes", Optional(families, used)},
                  {"capacity_bytes", Optional(families, capacity)},
                  {"blocks", Optional(families, blocks)},
                  {"evictions", Optional(families, evictions)}};
  };
  switch (tier) {
    case 0:
      return fill("kvstore_ram_used_bytes", "kvstore_ram_capacity_bytes", "kvstore_ram_blocks",
                  "kvstore_ram_evictions_total");
    case 1:
      if (azure) {
        return fill("kvstore_disk_tier_used_bytes", "kvstore_disk_tier_capacity_bytes",
                    "kvstore_disk_tier_blobs", "kvstore_disk_tier_evictions_total");
      }
      return fill("kvstore_storage_used_bytes", "kvstore_storage_capacity_bytes",
                  "kvstore_storage_blobs", "kvstore_evicted_chunks_total");
    default:
      return fill("kvstore_storage_used_bytes", "kvstore_storage_capacity_bytes",
                  "kvstore_storage_blobs", "kvstore_evicted_chunks_total");
  }
}

bool HasTier(size_t tier, const MetricFamilies& families) {
  const bool azure = FindFamily(families, "kvstore_azure_requests_total") != nullptr;
  const bool disk_tier = FindFamily(families, "kvstore_disk_tier_used_bytes") != nullptr;
  if (tier == 0) return true;
  return tier == 1 ? !azure || disk_tier : azure;
}

Object TiersJson(const std::array<StatusSamples::Tier, kTiers>& tiers,
                 const MetricFamilies& families) {
  constexpr double kSeconds = static_cast<double>(StatusSamples::kNow) *
                              static_cast<double>(StatusSamples::kInterval.count());
  constexpr const char* kStates[] = {"idle", "well", "slow"};
  Object list = Object::array();
  // Before the storage is open nothing is known of tiers but RAM.
  if (FindFamily(families, "kvstore_index_blocks") == nullptr) return list;
  for (size_t i = 0; i < kTiers; ++i) {
    if (!HasTier(i, families)) continue;
    const TierHealth& health = tiers[i].health;
    Object tier = {{"name", kTierKinds[i].name},
                   {"column", std::string(kTierKinds[i].label) + "_ms"},
                   {"state", kStates[static_cast<size_t>(health.state)]},
                   {"words", health.words},
                   {"reads_s", Number(static_cast<double>(tiers[i].now.count()) / kSeconds)},
                   {"now_ms", Number(health.now_ms)},
                   {"p99_ms", Number(tiers[i].now.quantile_ms(0.99))},
                   {"before_ms", Number(health.before_ms)}};
    tier.update(FillJson(i, families));
    list.push_back(std::move(tier));
  }
  return list;
}

Object SlowJson(const std::vector<SlowRequest>& requests) {
  Object list = Object::array();
  for (const SlowRequest& request : requests) {
    const auto ms = [](int64_t us) { return Number(static_cast<double>(us) / 1e3); };
    const RpcStages& stages = request.stages;
    const int64_t known = stages.admission_us + stages.receiving_us + stages.disk_us +
                          stages.azure_us + stages.sending_us;
    list.push_back({{"time", absl::ToUnixSeconds(request.ended)},
                    {"rpc", request.rpc},
                    {"code", request.code},
                    {"total_ms", ms(request.total_us)},
                    {"admission_ms", ms(stages.admission_us)},
                    {"receiving_ms", ms(stages.receiving_us)},
                    {"disk_ms", ms(stages.disk_us)},
                    {"azure_ms", ms(stages.azure_us)},
                    {"sending_ms", ms(stages.sending_us)},
                    {"rest_ms", ms(std::max<int64_t>(request.total_us - known, 0))},
                    {"blocks", request.blocks},
                    {"bytes", request.bytes},
                    {"tenant", request.identity},
                    {"request_id", request.request_id}});
  }
  return list;
}

// A table of all that is told by that label: a row for each of its values, the largest first.
Object TableBy(std::string_view label, const MetricFamilies& families) {
  Object columns = Object::array();
  std::map<std::string, std::vector<double>, std::less<>> rows;
  size_t count = 0;
  for (const MetricFamily& family : families) {
    if (family.samples.empty() || LabelOf(family.samples[0].labels, label).empty()) continue;
    columns.push_back({{"name", family.name}, {"help", family.help}});
    ++count;
    for (const MetricSample& sample : family.samples) {
      std::vector<double>& row = rows[std::string(LabelOf(sample.labels, label))];
      row.resize(count);
      row.back() += sample.value;
    }
  }
  std::vector<std::pair<std::string, std::vector<double>>> sorted(rows.begin(), rows.end());
  for (auto& [name, values] : sorted) values.resize(count);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  Object list = Object::array();
  for (size_t i = 0; i < std::min(sorted.size(), StatusReport::kMostRows); ++i) {
    Object values = Object::array();
    for (const double value : sorted[i].second) values.push_back(Number(value));
    list.push_back({{"name", sorted[i].first.substr(0, StatusReport::kMaxNameBytes)},
                    {"values", std::move(values)}});
  }
  return {{"columns", std::move(columns)},
          {"rows", std::move(list)},
          {"more", sorted.size() - std::min(sorted.size(), StatusReport::kMostRows)}};
}

Object ClientsJson(const std::vector<StatusReport::Client>& clients) {
  uint64_t connections = 0;
  Object list = Object::array();
  for (const StatusReport::Client& client : clients) {
    connections += client.connections;
    if (list.size() == StatusReport::kMostRows) continue;
    list.push_back({{"address", client.address}, {"connections", client.connections}});
  }
  const size_t more = clients.size() - list.size();
  return {{"connections", connections}, {"rows", std::move(list)}, {"more", more}};
}

}  // namespace

StatusReport::StatusReport(Sources sources)
    : sources_(std::move(sources)), started_(absl::Now()), started_steady_(Steady::now()) {
  thread_ = std::thread([this] { Run(); });
}

StatusReport::~StatusReport() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StatusReport::Run() {
  Steady::time_point last = Steady::now(), due = last;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const Steady::time_point now = Steady::now();
    samples_.Take(absl::Now(), absl::FromChrono(now - last), sources_.metrics());
    last = now;
    if (sources_.slow != nullptr) sources_.slow->Expire(absl::Now());
    due = std::max(due + StatusSamples::kInterval,
                   now);  // after a pause of the machine's none are caught up on
    lock.lock();
    changed_.wait_until(lock, due, [this] { return stopping_; });
  }
}

std::string StatusReport::Json(uint64_t first) const {
  const MetricFamilies families = sources_.metrics();
  const absl::Status ready = sources_.ready();
  const auto tiers = samples_.Tiers();
  Object json = {
      {"version", sources_.version},
      {"time", absl::ToUnixSeconds(absl::Now())},
      {"started", absl::ToUnixMillis(started_)},  // another one: another process
      {"uptime_s",
       std::chrono::duration_cast<std::chrono::seconds>(Steady::now() - started_steady_).count()},
      {"ready", {{"ok", ready.ok()}, {"reason", std::string(ready.message())}}}};
  json["problems"] = Object::array();
  for (const StatusProblem& problem :
       FindProblems(ready, families, tiers, samples_.RecentFailures())) {
    json["problems"].push_back({{"bad", problem.bad}, {"text", problem.text}});
  }
  json["tiers"] = TiersJson(tiers, families);
  json["samples"] = SamplesJson(samples_, first);
  json["slow"] =
      SlowJson(sources_.slow != nullptr ? sources_.slow->List() : std::vector<SlowRequest>());
  json["tenants"] = TableBy("tenant", families);
  json["queues"] = TableBy("queue", families);
  json["clients"] = ClientsJson(sources_.clients ? sources_.clients() : std::vector<Client>());
  json["log"] = {{"age_s", Optional(families, "kvstore_log_age_seconds")},
                 {"read", Optional(families, "kvstore_log_records_read_total")},
                 {"appended", Optional(families, "kvstore_log_records_appended_total")}};
  json["facts"] = Object::array();
  for (const auto& [name, value] : sources_.facts) {
    json["facts"].push_back({{"name", name}, {"value", value}});
  }
  json["options"] = Object::array();
  for (const ShownOption& option : sources_.options) {
    json["options"].push_back({{"name", option.name},
                               {"value", Masked(option.name, option.value)},
                               {"given", option.given}});
  }
  return json.dump(-1, ' ', false, Object::error_handler_t::replace);
}

}  // namespace kvstore
