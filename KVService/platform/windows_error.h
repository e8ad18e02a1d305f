// Windows' errors as statuses, and its text as ours. For *_windows.cc.
#ifndef KVSERVICE_PLATFORM_WINDOWS_ERROR_H_
#define KVSERVICE_PLATFORM_WINDOWS_ERROR_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvstore::windows {

// "access is denied (error 5)". By default the calling thread's last error.
std::string Reason(uint32_t error);
std::string LastReason();

// The code that file.h gives the error, with what was done to which file.
absl::Status FileFailure(std::string_view what, const std::string& path, uint32_t error);
absl::Status LastFileFailure(std::string_view what, const std::string& path);

// UTF-8 to UTF-16 and back; what is no valid text becomes U+FFFD.
std::wstring Wide(std::string_view text);
std::string Narrow(std::wstring_view text);

// The path as calls take it that are not to stop at 260 characters.
std::wstring PathOf(const std::string& path);

}  // namespace kvstore::windows

#endif  // KVSERVICE_PLATFORM_WINDOWS_ERROR_H_
