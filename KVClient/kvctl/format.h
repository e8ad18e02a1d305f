// How kvctl writes numbers for people.
#ifndef KVCLIENT_KVCTL_FORMAT_H_
#define KVCLIENT_KVCTL_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace kvstore::kvctl {

std::string Bytes(double bytes);       // "1.2 GiB"
std::string Duration(double seconds);  // "3d 4h", "12.5s", "830ms"
std::string Count(double number);      // "12.3k"

// Rows of cells under one another, the first row a heading; all but the first column to the right.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_FORMAT_H_
