// A command line in one piece, as Windows hands it to a program. For *_windows.cc.
#ifndef KVSERVICE_PLATFORM_COMMAND_LINE_WINDOWS_H_
#define KVSERVICE_PLATFORM_COMMAND_LINE_WINDOWS_H_

#include <string>
#include <string_view>
#include <vector>

#include "KVService/platform/windows_error.h"

namespace kvstore::windows {

// As the C runtime takes a command line apart: backslashes count where a quote follows.
inline void AppendQuoted(std::wstring_view argument, std::wstring* line) {
  if (!line->empty()) line->push_back(L' ');
  line->push_back(L'"');
  size_t backslashes = 0;
  for (const wchar_t c : argument) {
    if (c == L'"') line->append(backslashes + 1, L'\\');
    backslashes = c == L'\\' ? backslashes + 1 : 0;
    line->push_back(c);
  }
  line->append(backslashes, L'\\');
  line->push_back(L'"');
}

inline std::wstring CommandLine(const std::vector<std::string>& command) {
  std::wstring line;
  for (const std::string& argument : command) AppendQuoted(Wide(argument), &line);
  return line;
}

}  // namespace kvstore::windows

#endif  // KVSERVICE_PLATFORM_COMMAND_LINE_WINDOWS_H_
