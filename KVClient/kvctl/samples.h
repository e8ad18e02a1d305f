// A server's numbers at one moment, found by name and labels.
#ifndef KVCLIENT_KVCTL_SAMPLES_H_
#define KVCLIENT_KVCTL_SAMPLES_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kvstore_admin.pb.h"

namespace kvstore::kvctl {

class Samples {
 public:
  using Labels = std::map<std::string, std::string>;

  explicit Samples(const admin::StatsResponse& stats) : stats_(stats) {}

  // The sum of the samples that bear all of these labels, 0 where there is none.
  double Sum(const std::string& name, const Labels& labels = {}) const;
  bool Has(const std::string& name) const;
  // The values of a label.
  std::set<std::string> Values(const std::string& name, const std::string& label) const;
  // Of a histogram, what came since `before`, whose quantile this is; nullopt where nothing came.
  // The upper bound of the bucket that has it.
  std::optional<double> Quantile(const std::string& name, const Labels& labels, double q,
                                 const Samples* before) const;

 private:
  std::map<double, double> Buckets(const std::string& name, const Labels& labels) const;

  const admin::StatsResponse& stats_;
};

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_SAMPLES_H_
