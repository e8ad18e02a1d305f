#include <iostream>

#include "KVCommon/tune_process.h"
#include "KVPlayground/console.h"
#include "KVPlayground/playground.h"

int main(int argc, char** argv) {
  namespace pg = kvstore::playground;
  kvstore::TuneProcess();
  return pg::RunPlayground(
      argc, argv, {std::cout, std::cerr, pg::StandardErrorIsTerminal(), pg::MakeClientStore});
}
