// Tokenises conversations for KVPlayground: node tokenize.mjs IN.json OUT.json [encoding]
//
// IN:  {"system": "shared system prompt" (optional),
//       "conversations": [{"name": "..." (optional), "system": "..." (optional, instead of the shared one),
//                          "turns": [{"user": "...", "assistant": "..."}, ...]}, ...]}
//      The last turn of a conversation needs no "assistant": nobody has answered it yet.
// OUT: {"encoding", "prompts": [{"text", "tokens", "token_count"}, ...]}, one entry a user turn,
//      with the whole context up to it: system prompt, all earlier turns, and the turn's question.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { get_encoding } from "tiktoken";

const ENCODINGS = ["cl100k_base", "o200k_base"];
const MAX_BYTES = 256 * 1024 * 1024;

function fail(message) {
  console.error(`tokenize: ${message}`);
  process.exit(2);
}

function readInput(path) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    fail(`${path}: cannot be read: ${error.message}`);
  }
  if (bytes.length > MAX_BYTES) fail(`${path}: larger than ${MAX_BYTES} bytes`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    fail(`${path}: is no JSON in UTF-8: ${error.message}`);
  }
}

function requireText(value, path, optional = false) {
  if (optional && value === undefined) return undefined;
  if (typeof value !== "string" || value.trim() === "") {
    fail(`${path}: expected a text that is not empty, got ${JSON.stringify(value) ?? "nothing"}`);
  }
  return value.trim();
}

function requireList(value, path) {
  if (!Array.isArray(value) || value.length === 0) fail(`${path}: expected a list that is not empty`);
  return value;
}

// The contexts of one conversation, each the beginning of the next.
function contextsOf(conversation, shared, path) {
  const system = requireText(conversation?.system, `${path}.system`, true) ?? shared;
  const turns = requireList(conversation?.turns, `${path}.turns`);
  let context = system === undefined ? "" : `System: ${system}\n\n`;
  return turns.map((turn, i) => {
    const last = i === turns.length - 1;
    context += `User: ${requireText(turn?.user, `${path}.turns[${i}].user`)}\n\nAssistant:`;
    const asked = context;
    const answer = requireText(turn.assistant, `${path}.turns[${i}].assistant`, last);
    if (answer !== undefined) context += ` ${answer}\n\n`;
    return asked;
  });
}

const [inPath, outPath, encodingName = "cl100k_base", ...rest] = process.argv.slice(2);
if (!inPath || !outPath || rest.length > 0) fail("usage: tokenize.mjs IN.json OUT.json [encoding]");
if (!ENCODINGS.includes(encodingName)) {
  fail(`encoding "${encodingName}" is not one of ${ENCODINGS.join(", ")}`);
}

const input = readInput(inPath);
const shared = requireText(input?.system, "system", true);
const contexts = requireList(input?.conversations, "conversations").flatMap((conversation, i) =>
  contextsOf(conversation, shared, `conversations[${i}]`));

// Nothing in a text is taken for a special token: it is encoded as the characters that it is.
const encoding = get_encoding(encodingName);
const lines = contexts.map((text) => {
  const tokens = Array.from(encoding.encode(text, [], []));
  return JSON.stringify({ text, tokens, token_count: tokens.length });
});
encoding.free();

// A prompt a line, so that a change to one shows as one. Renamed at the end: never half a file.
const output = `{"encoding":${JSON.stringify(encodingName)},"prompts":[\n${lines.join(",\n")}\n]}\n`;
try {
  writeFileSync(`${outPath}.tmp`, output);
  renameSync(`${outPath}.tmp`, outPath);
} catch (error) {
  fail(`${outPath}: cannot be written: ${error.message}`);
}
console.log(`${outPath}: ${lines.length} prompts, ${encodingName}`);
