#include "KVClient/kvctl/samples.h"

#include <cmath>
#include <limits>
#include <string>

namespace kvstore::kvctl {
namespace {

bool Bears(const admin::Sample& sample, const Samples::Labels& labels) {
  for (const auto& [name, value] : labels) {
    const auto it = sample.labels().find(name);
    if (it == sample.labels().end() || it->second != value) return false;
  }
  return true;
}

}  // namespace

double Samples::Sum(const std::string& name, const Labels& labels) const {
  double sum = 0;
  for (const admin::Sample& sample : stats_.samples()) {
    if (sample.name() == name && Bears(sample, labels)) sum += sample.value();
  }
  return sum;
}

bool Samples::Has(const std::string& name) const {
  for (const admin::Sample& sample : stats_.samples()) {
    if (sample.name() == name) return true;
  }
  return false;
}

std::set<std::string> Samples::Values(const std::string& name, const std::string& label) const {
  std::set<std::string> values;
  for (const admin::Sample& sample : stats_.samples()) {
    const auto it = sample.labels().find(label);
    if (sample.name() == name && it != sample.labels().end()) values.insert(it->second);
  }
  return values;
}

std::map<double, double> Samples::Buckets(const std::string& name, const Labels& labels) const {
  std::map<double, double> buckets;
  for (const admin::Sample& sample : stats_.samples()) {
    const auto it = sample.labels().find("le");
    if (sample.name() != name + "_bucket" || it == sample.labels().end() ||
        !Bears(sample, labels)) {
      continue;
    }
    const double bound = it->second == "+Inf" ? std::numeric_limits<double>::infinity()
                                              : std::strtod(it->second.c_str(), nullptr);
    buckets[bound] += sample.value();
  }
  return buckets;
}

std::optional<double> Samples::Quantile(const std::string& name, const Labels& labels, double q,
                                        const Samples* before) const {
  std::map<double, double> buckets = Buckets(name, labels);
  if (before != nullptr) {
    for (const auto& [bound, count] : before->Buckets(name, labels)) buckets[bound] -= count;
  }
  if (buckets.empty() || buckets.rbegin()->second <= 0) return std::nullopt;
  const double wanted = q * buckets.rbegin()->second;
  double last = 0;
  for (const auto& [bound, count] : buckets) {
    if (std::isinf(bound)) return last;
    if (count >= wanted) return bound;
    last = bound;
  }
  return last;
}

}  // namespace kvstore::kvctl
