// A program's options as people may see them: nothing that could be a secret.
#ifndef KVSERVICE_OBSERVE_SHOWN_OPTIONS_H_
#define KVSERVICE_OBSERVE_SHOWN_OPTIONS_H_

#include <string>
#include <string_view>

namespace kvstore {

struct ShownOption {
  std::string name;   // such as --port
  std::string value;  // masked; as it was given, or what it is by default
  bool given = false;
};

inline constexpr std::string_view kMask = "(not shown)";

// The value, or kMask where the name or the value looks as if there were a secret in it: a token,
// key, password, signature or connection string. Better one too many than one too few: so the name
// of --tls-key's file is not shown either.
std::string Masked(std::string_view name, std::string_view value);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_SHOWN_OPTIONS_H_
