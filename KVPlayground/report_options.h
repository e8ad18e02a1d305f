// The options in every form of the report.
#ifndef KVPLAYGROUND_REPORT_OPTIONS_H_
#define KVPLAYGROUND_REPORT_OPTIONS_H_

#include <nlohmann/json.hpp>

#include "KVPlayground/report.h"

namespace kvstore::playground {

// The options that say what was played, and against what, by name. No secret is among them.
nlohmann::ordered_json OptionsOf(const Report& report);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_REPORT_OPTIONS_H_
