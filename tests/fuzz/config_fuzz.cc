// The server's configuration file, and the command lines of server and playground. Reading all
// options takes milliseconds with sanitizers: of the inputs one in 64 goes that way, and the others
// to what reads the file's form alone.
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "KVCommon/digest.h"
#include "KVCommon/slice.h"
#include "KVCommon/status_macros.h"
#include "KVPlayground/options.h"
#include "KVService/options.h"
#include "KVService/thread_plan.h"
#include "absl/strings/str_split.h"

namespace {

bool IsChosen(const std::string& text) { return kvstore::Crc32c(kvstore::AsBytes(text)) % 64 == 0; }

void CheckForm(const std::string& text) {
  std::istringstream file(text);
  try {
    CLI::ConfigTOML().from_config(file);
  } catch (const CLI::Error&) {
    // As the program takes it: not a file of options.
  }
}

void CheckServer(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const auto parsed = kvstore::ParseCommandLine(static_cast<int>(arguments.size()), argv.data());
  const auto* options = std::get_if<kvstore::ServerOptions>(&parsed);
  if (options == nullptr) return;
  KV_CHECK(options->port >= 0 && options->port <= 65535);
  KV_CHECK(options->threads >= 0 && options->threads <= 1024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // What is wrong is told on the console.
  std::cout.setstate(std::ios::failbit);
  std::cerr.setstate(std::ios::failbit);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (!IsChosen(text)) {
    CheckForm(text);
    return 0;
  }
  if (data[0] % 4 != 0) {
    static const int file = memfd_create("config", 0);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    KV_CHECK(ftruncate(file, 0) == 0);
    KV_CHECK(pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    CheckServer({"KVStoreServer", "--config", path});
    return 0;
  }
  std::vector<std::string> arguments = {"program"};
  for (const auto word : absl::StrSplit(text.substr(0, text.find('\0')), '\n')) {
    // Files may be devices and pipes: those of the outside world are not for here.
    if (word.find("config") != word.npos) return 0;
    arguments.emplace_back(word);
  }
  CheckServer(arguments);
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  const auto parsed =
      kvstore::playground::ParseOptions(static_cast<int>(argv.size()), argv.data(), out, err);
  if (const int* code = std::get_if<int>(&parsed)) {
    KV_CHECK(*code == kvstore::playground::kExitOk ? !out.str().empty() : !err.str().empty());
  }
  return 0;
}
