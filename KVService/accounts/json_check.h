// Whether a text is JSON that says each thing once, and if not, where.
#ifndef KVSERVICE_ACCOUNTS_JSON_CHECK_H_
#define KVSERVICE_ACCOUNTS_JSON_CHECK_H_

#include <string_view>

#include "absl/status/status.h"

namespace kvstore {

// INVALID_ARGUMENT, with line and column of the end of what should not be there, for what is no
// JSON; for a key that an object has twice, of which a parser would silently take one; and for what
// is nested more than 16 deep. But for such keys no message repeats the text, which may hold
// secrets.
absl::Status CheckJson(std::string_view text);

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_JSON_CHECK_H_
