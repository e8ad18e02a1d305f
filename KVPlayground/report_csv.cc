#include "KVPlayground/figures.h"
#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

std::string Quoted(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string text = "\"";
  for (const char c : cell) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

}  // namespace

std::string ReportCsv(const Report& report) {
  std::string text = "table,row,column,value\r\n";
  for (const Table& table :
       {RunTable(report), LatencyTable(report), SweepTable(report), TimeTable(report),
        ServerTable(report), OptionsTable(report), MachineTable(report)}) {
    for (const std::vector<std::string>& row : table.rows) {
      for (size_t i = 1; i < row.size(); ++i) {
        text += table.name + ',' + Quoted(row[0]) + ',' + Quoted(table.columns[i]) + ',' +
                Quoted(row[i]) + "\r\n";
      }
    }
  }
  return text;
}

}  // namespace kvstore::playground
