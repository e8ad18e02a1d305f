// Text for HTML and SVG.
#ifndef KVPLAYGROUND_HTML_ESCAPE_H_
#define KVPLAYGROUND_HTML_ESCAPE_H_

#include <string>
#include <string_view>

namespace kvstore::playground {

// Safe as an element's text and as a quoted attribute's value: none of it is markup. Control
// characters but for tabs and line ends become U+FFFD.
std::string Escaped(std::string_view text);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_HTML_ESCAPE_H_
