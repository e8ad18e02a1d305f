#include "KVService/storage/azure/azurite.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace kvstore::testing {

namespace {

// The path of Azurite's blob server.
std::string Install() {
  FILE* pipe = ::popen("'" KVSTORE_SOURCE_DIR "/scripts/init/install_azurite.sh'", "r");
  if (pipe == nullptr) return "";
  char line[4096] = "";
  const bool read = std::fgets(line, sizeof(line), pipe) != nullptr;
  if (::pclose(pipe) != 0 || !read) return "";
  std::string path = line;
  while (!path.empty() && path.back() == '\n') path.pop_back();
  return path;
}

// Writes a key and a certificate for 127.0.0.1, signed by itself.
bool MakeCertificate(const std::string& directory) {
  const std::string command = "cd '" + directory +
                              "' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
                              "-keyout key.pem -out cert.pem -subj /CN=localhost "
                              "-addext subjectAltName=IP:127.0.0.1,DNS:localhost 2>/dev/null";
  return std::system(command.c_str()) == 0;
}

// Starts it and gives its standard output.
FILE* Start(const std::vector<std::string>& arguments, pid_t& process) {
  int ends[2];
  if (::pipe(ends) != 0) return nullptr;
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  process = ::fork();
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // not to outlive a test that crashes
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  return ::fdopen(ends[0], "r");
}

}  // namespace

Azurite::Azurite(Protocol protocol, const std::vector<std::string>& more) {
  const std::string main = Install();
  if (main.empty()) {
    ADD_FAILURE() << "Azurite cannot be installed: see scripts/init/install_azurite.sh";
    return;
  }
  std::vector<std::string> arguments = {
      "node",       main, "--inMemoryPersistence", "--silent",          "--blobHost", "127.0.0.1",
      "--blobPort", "0",  "--skipApiVersionCheck", "--disableTelemetry"};
  if (protocol == Protocol::kHttps) {
    ca_file_ = directory_.path() + "/cert.pem";
    EXPECT_TRUE(MakeCertificate(directory_.path())) << "openssl is missing";
    for (const std::string& one :
         {std::string("--cert"), ca_file_, std::string("--key"), directory_.path() + "/key.pem"}) {
      arguments.push_back(one);
    }
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  FILE* const output = Start(arguments, process_);
  if (output == nullptr) {
    ADD_FAILURE() << "no pipe or process for Azurite";
    return;
  }
  std::string said;
  char line[4096];
  while (endpoint_.empty() && std::fgets(line, sizeof(line), output) != nullptr) {
    said += line;
    // "Azurite Blob service successfully listens on http://127.0.0.1:41234"
    const std::string text = line;
    const size_t url = text.find("listens on http");
    if (url == std::string::npos) continue;
    endpoint_ = text.substr(url + 11, text.find_first_of("\r\n") - url - 11);
    endpoint_ += std::string("/") + kAzuriteAccount;
  }
  EXPECT_FALSE(endpoint_.empty()) << "Azurite did not start: " << said;
  // The pipe stays open, or its next line would kill it.
}

Azurite::~Azurite() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

std::shared_ptr<azure::Credential> Azurite::SharedKey() {
  auto credential = azure::MakeSharedKeyCredential(kAzuriteAccount, kAzuriteKey);
  EXPECT_TRUE(credential.ok());
  return *std::move(credential);
}

Azurite& Azurite::Http() {
  static Azurite azurite(Protocol::kHttp);
  return azurite;
}

Azurite& Azurite::Https() {
  static Azurite azurite(Protocol::kHttps);
  return azurite;
}

Azurite& Azurite::WithTokens() {
  static Azurite azurite(Protocol::kHttps, {"--oauth", "basic"});
  return azurite;
}

}  // namespace kvstore::testing
