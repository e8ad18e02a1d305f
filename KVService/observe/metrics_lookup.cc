#include "KVService/observe/metrics_lookup.h"

#include <algorithm>
#include <numeric>

namespace kvstore {

namespace {

bool Bears(const MetricLabels& labels, const MetricLabels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    return std::find(labels.begin(), labels.end(), label) != labels.end();
  });
}

}  // namespace

const MetricFamily* FindFamily(const MetricFamilies& families, std::string_view name) {
  const auto found = std::find_if(families.begin(), families.end(),
                                  [&](const MetricFamily& family) { return family.name == name; });
  return found == families.end() ? nullptr : &*found;
}

std::string_view LabelOf(const MetricLabels& labels, std::string_view name) {
  for (const auto& [label, value] : labels) {
    if (label == name) return value;
  }
  return "";
}

std::optional<double> FindValue(const MetricFamilies& families, std::string_view name,
                                const MetricLabels& labels) {
  const MetricFamily* family = FindFamily(families, name);
  std::optional<double> sum;
  if (family == nullptr) return sum;
  for (const MetricSample& sample : family->samples) {
    if (Bears(sample.labels, labels)) sum = sum.value_or(0) + sample.value;
  }
  return sum;
}

uint64_t Durations::count() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

double Durations::mean_ms() const {
  const uint64_t all = count();
  return all == 0 ? 0 : seconds / static_cast<double>(all) * 1e3;
}

double Durations::quantile_ms(double q) const {
  const auto rank = q * static_cast<double>(count());
  double below = 0;
  for (size_t i = 0; i < bounds.size() && i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      const double from = i == 0 ? 0 : bounds[i - 1];
      return (from + (bounds[i] - from) * std::max(rank - below, 0.0) / here) * 1e3;
    }
    below += here;
  }
  return bounds.empty() || count() == 0 ? 0 : bounds.back() * 1e3;
}

void Durations::Add(const Durations& other) {
  if (other.counts.empty()) return;
  if (counts.empty()) {
    *this = other;
    return;
  }
  for (size_t i = 0; i < std::min(counts.size(), other.counts.size()); ++i) {
    counts[i] += other.counts[i];
  }
  seconds += other.seconds;
}

Durations Durations::Since(const Durations& before) const {
  Durations result = *this;
  if (before.counts.size() != counts.size()) return result;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < before.counts[i]) return {};
    result.counts[i] -= before.counts[i];
  }
  // The sum is not read in the same instant as the counts.
  result.seconds = std::max(seconds - before.seconds, 0.0);
  return result;
}

Durations FindDurations(const MetricFamilies& families, std::string_view name,
                        const MetricLabels& labels) {
  Durations sum;
  const MetricFamily* family = FindFamily(families, name);
  if (family == nullptr) return sum;
  for (const MetricHistogram& histogram : family->histograms) {
    if (Bears(histogram.labels, labels)) {
      sum.Add({histogram.bounds, histogram.counts, histogram.sum});
    }
  }
  return sum;
}

}  // namespace kvstore
