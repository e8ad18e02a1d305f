#include "KVService/platform/prefixed_output.h"

namespace kvstore {

void LinePrefixer::Add(std::string_view piece, std::string& lines) {
  for (;;) {
    const size_t end = piece.find('\n');
    if (end == std::string_view::npos) break;
    lines.append(prefix_).append(begun_).append(piece.substr(0, end + 1));
    begun_.clear();
    piece.remove_prefix(end + 1);
  }
  begun_ += piece;
  if (begun_.size() > kLongestLine) End(lines);
}

void LinePrefixer::End(std::string& lines) {
  if (begun_.empty()) return;
  lines.append(prefix_).append(begun_).append("\n");
  begun_.clear();
}

}  // namespace kvstore
